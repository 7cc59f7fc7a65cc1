"""What is decided for a session, as questions that two policies answer alike or not.

Two policies decide everything alike if and only if they answer all of these alike: which links are
eligible, which of two is preferred, whether one leads the link in use by enough and for how
long it must, and the settings. Scores as such are no decision: 10 more for every link is no difference.

Source: "The decision" in ``docs/semantics.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product

from engine.difference.answers import Answer, Answers, Aspect, spans_of
from engine.difference.cases import Asked
from engine.difference.reading import Candidate, Reading, Scoring, Tally, shape
from engine.difference.settings import settings
from engine.wording import duration
from policylang.ast import (
    Delay,
    Margin,
    MigrateRule,
    ScoreInterface,
    ScoreServer,
    Settle,
    Span,
    SuspendRule,
)

# What holds where a policy says nothing: `docs/semantics.md`, "Scores".
_SETTLE_S = 2.0
_DELAY_S = 0.0
_SUSPEND_AFTER_S = 0.0


Pair = tuple[Candidate, Candidate]

Twins = Mapping[str, str]
"""A name of each kind, and another of that kind; the same again where there is no other."""


def aspects(links: Twins, servers: Sequence[str]) -> Iterator[Aspect]:
    """Yield every question, about links and servers of these names; two of each kind are enough."""
    names = tuple(links)
    yield Aspect(
        "migrate",
        (),
        lambda reading: shape(reading.of_kind(MigrateRule)),
        lambda old, new, asked: _moving(old, new, names, asked),
    )
    yield from _eligibility(ScoreInterface, names)
    in_use = [pair for name in links for pair in _with_one_in_use(name, links)]
    yield from map(_lead, in_use)
    yield from map(_settling, in_use)
    yield from map(_order, _with_none_in_use(links))
    yield Aspect("leaving", (), _bears_on_leaving, lambda old, new, asked: _leaving(old, new, names, asked))
    yield from settings()
    yield from _eligibility(ScoreServer, servers)
    alone = {name: name for name in servers}
    yield from map(_server_order, [pair for name in alone for pair in _with_one_in_use(name, alone)])
    yield from map(_server_order, _with_none_in_use(alone))


# Whether there are moves at all.


def _moving(old: Reading, new: Reading, links: Sequence[str], asked: Asked) -> Answers | None:
    first, second = (_migrate(reading, asked) for reading in (old, new))
    if first.value == second.value:
        return None
    free = old if first.value else new
    suspend = free.last(SuspendRule, asked)
    # A session that is never suspended and has nowhere to go stays where it is in any case.
    stays = suspend is not None and suspend.after_s is None and not _has_another(free, links, asked)
    return None if stays else (first, second)


def _migrate(reading: Reading, asked: Asked) -> Answer:
    rule = reading.last(MigrateRule, asked)
    allowed = rule is None or rule.allowed
    return Answer(allowed, "may be moved" if allowed else "is never moved", spans_of(rule))


# Links and servers.


def _eligibility(kind: type[Scoring], names: Sequence[str]) -> Iterator[Aspect]:
    for name, current in product(names, (False, True)):
        yield _eligibility_of(kind, Candidate(name, current))


def _eligibility_of(kind: type[Scoring], candidate: Candidate) -> Aspect:
    return Aspect(
        _TOPICS[kind],
        (candidate,),
        lambda reading: _bears(reading, kind, (candidate,)),
        lambda old, new, asked: _eligible(old, new, kind, candidate, asked),
    )


def _eligible(
    old: Reading, new: Reading, kind: type[Scoring], candidate: Candidate, asked: Asked
) -> Answers | None:
    # Where a session was it may resume under `migrate never` too; elsewhere only if it may be moved.
    if kind is ScoreInterface and not candidate.current and not _both_may_move(old, new, asked):
        return None
    first, second = (_may_use(reading, kind, candidate, asked) for reading in (old, new))
    return first, second


def _may_use(reading: Reading, kind: type[Scoring], candidate: Candidate, asked: Asked) -> Answer:
    span = reading.never(kind, candidate, asked)
    verbs = ("may stay on", "never stays on") if candidate.current else ("may use", "never uses")
    return Answer(span is None, f"{verbs[span is not None]} {candidate.name}", spans_of(span))


def _lead(pair: Pair) -> Aspect:
    return Aspect(
        "links",
        pair,
        lambda reading: (_bears(reading, ScoreInterface, pair), shape(reading.of_kind(Margin))),
        lambda old, new, asked: _challenge(old, new, pair, asked),
    )


def _settling(pair: Pair) -> Aspect:
    return Aspect(
        "settle",
        pair,
        lambda reading: shape(reading.of_kind(Settle)),
        lambda old, new, asked: _settle(old, new, pair, asked),
    )


def _challenge(old: Reading, new: Reading, pair: Pair, asked: Asked) -> Answers | None:
    """Say whether the second link wins against the one in use."""
    if not _both_may_move(old, new, asked) or not _all_eligible((old, new), ScoreInterface, pair, asked):
        return None
    first, second = (_stays_or_moves(reading, pair, asked) for reading in (old, new))
    if first.value == second.value or not all(
        _at_once(reading, answer, asked) for reading, answer in ((old, first), (new, second))
    ):
        return first, second
    return None


def _at_once(reading: Reading, answer: Answer, asked: Asked) -> bool:
    """Return whether a session goes at once: for the better link or from a last resort is then one."""
    if answer.value == "moves":
        return _settle_s(reading.last(Settle, asked)) == 0
    return answer.value == "leaves" and _delay_s(reading.last(Delay, asked)) == 0


def _stays_or_moves(reading: Reading, pair: Pair, asked: Asked) -> Answer:
    avoided = _resorts(reading, ScoreInterface, pair, asked)
    if avoided is not None:
        if avoided.value > 0:
            return Answer("stays", f"stays on {pair[0].name}", avoided.spans)
        return Answer("leaves", f"leaves {pair[0].name} for {pair[1].name}", avoided.spans)
    mine, other = (reading.score(ScoreInterface, candidate, asked) for candidate in pair)
    spans = mine.spans + other.spans
    lead = other.value - mine.value
    stays = f"stays on {pair[0].name}"
    if lead <= 0:
        return Answer("stays", stays, spans)
    margin = reading.last(Margin, asked)
    if margin is not None and lead < margin.amount:
        text = f"{stays}; once suspended, it resumes on {pair[1].name}"
        return Answer("stays, and resumes elsewhere", text, (*spans, margin.span))
    # A margin that every lead reaches has not made it so.
    reached = spans_of(margin) if margin is not None and margin.amount > 1 else ()
    return Answer("moves", f"moves from {pair[0].name} to {pair[1].name}", spans + reached)


def _settle(old: Reading, new: Reading, pair: Pair, asked: Asked) -> Answers | None:
    """Say for how long a link must lead, where one wins against the one in use by both policies."""
    challenge = _challenge(old, new, pair, asked)
    if challenge is None or any(answer.value != "moves" for answer in challenge):
        return None
    first, second = (_settled(reading, challenge[0].text, asked) for reading in (old, new))
    return first, second


def _settled(reading: Reading, move: str, asked: Asked) -> Answer:
    rule = reading.last(Settle, asked)
    settle_s = _settle_s(rule)
    return Answer(settle_s, f"{move} after {duration(settle_s)}", spans_of(rule))


def _settle_s(rule: Settle | None) -> float:
    return rule.duration_s if rule else _SETTLE_S


def _delay_s(rule: Delay | None) -> float:
    return rule.duration_s if rule else _DELAY_S


def _order(pair: Pair) -> Aspect:
    return Aspect(
        "links",
        pair,
        lambda reading: _bears(reading, ScoreInterface, pair),
        lambda old, new, asked: (
            _preferences(old, new, ScoreInterface, pair, asked) if _both_may_move(old, new, asked) else None
        ),
    )


def _server_order(pair: Pair) -> Aspect:
    return Aspect(
        "servers",
        pair,
        lambda reading: _bears(reading, ScoreServer, pair),
        lambda old, new, asked: _preferences(old, new, ScoreServer, pair, asked),
    )


def _with_one_in_use(name: str, others: Twins) -> list[Pair]:
    """Return the pairs of a link in use and another, which may be of its own kind."""
    mine = Candidate(name, current=True)
    return [(mine, Candidate(others[name] if other == name else other, current=False)) for other in others]


def _with_none_in_use(names: Twins) -> list[Pair]:
    """Return the pairs of links not in use; of two of one kind what is measured may differ."""
    pairs = [(*pair, False) for pair in combinations(names, 2)]
    pairs += [(name, twin, name == twin) for name, twin in names.items()]
    return [(Candidate(a, current=False), Candidate(b, current=False, second=same)) for a, b, same in pairs]


def _preferences(old: Reading, new: Reading, kind: type[Scoring], pair: Pair, asked: Asked) -> Answers | None:
    if not _all_eligible((old, new), kind, pair, asked):
        return None
    return _preference(old, kind, pair, asked), _preference(new, kind, pair, asked)


def _preference(reading: Reading, kind: type[Scoring], pair: Pair, asked: Asked) -> Answer:
    avoided = _resorts(reading, kind, pair, asked)
    if avoided is not None:
        return _preferred(pair, avoided.value, avoided.spans)
    first, second = (reading.score(kind, candidate, asked) for candidate in pair)
    spans = first.spans + second.spans
    lead = first.value - second.value
    if pair[0].current and lead == 0:
        lead = 1  # a tie keeps what is in use
    return _preferred(pair, lead, spans)


def _preferred(pair: Pair, lead: int, spans: tuple[Span, ...]) -> Answer:
    """Say which of two is preferred: the first if ``lead`` is above 0, the second if it is below."""
    if lead == 0:
        return Answer(0, f"prefers neither of {pair[0].name} and {pair[1].name}", spans)
    better, worse = pair if lead > 0 else reversed(pair)
    return Answer(1 if lead > 0 else -1, f"prefers {better.name} to {worse.name}", spans)


# Leaving a link.


def _bears_on_leaving(reading: Reading) -> object:
    # Whether there can be a link to go to is asked as well, but matters only where one of these differs.
    return shape(reading.of_kind(Delay)), shape(reading.of_kind(SuspendRule))


def _leaving(old: Reading, new: Reading, links: Sequence[str], asked: Asked) -> Answers | None:
    somewhere = [_has_another(reading, links, asked) for reading in (old, new)]
    if somewhere[0] is not somewhere[1] or not _both_may_move(old, new, asked):
        return None
    first, second = (_leave(reading, asked, elsewhere=somewhere[0]) for reading in (old, new))
    return first, second


def _has_another(reading: Reading, links: Sequence[str], asked: Asked) -> bool:
    """Return whether there can be a link to go to at all."""
    candidates = (Candidate(name, current=False) for name in links)
    return any(reading.never(ScoreInterface, candidate, asked) is None for candidate in candidates)


def _leave(reading: Reading, asked: Asked, *, elsewhere: bool) -> Answer:
    """Say after how long a lost link is left, and the session suspended where there is no other."""
    delay, suspend = reading.last(Delay, asked), reading.last(SuspendRule, asked)
    delay_s = _delay_s(delay)
    after_s = suspend.after_s if suspend else _SUSPEND_AFTER_S
    suspended = "is never suspended" if after_s is None else f"is suspended after {duration(after_s)}"
    text = f"leaves a lost link after {duration(delay_s)}, {suspended} if there is no other"
    value: object = (delay_s, after_s)
    if not elsewhere:
        # The two times begin together, so that the longer one decides.
        value = None if after_s is None else max(delay_s, after_s)
    return Answer(value, text, spans_of(delay) + spans_of(suspend))


# Common to several.


def _both_may_move(old: Reading, new: Reading, asked: Asked) -> bool:
    return all(_migrate(reading, asked).value for reading in (old, new))


def _all_eligible(
    readings: Sequence[Reading], kind: type[Scoring], pair: Sequence[Candidate], asked: Asked
) -> bool:
    return all(reading.never(kind, c, asked) is None for reading in readings for c in pair)


def _resorts(reading: Reading, kind: type[Scoring], pair: Pair, asked: Asked) -> Tally | None:
    """Return 1 or -1 if of two the second or the first alone is a last resort: then no score counts."""
    mine, other = (reading.avoided(kind, candidate, asked) for candidate in pair)
    if (mine is None) is (other is None):
        return None
    return Tally(1 if mine is None else -1, spans_of(mine or other))


def _bears(reading: Reading, kind: type[Scoring], candidates: Sequence[Candidate]) -> object:
    return tuple(shape(block) for candidate in candidates for block in reading.bearing_on(kind, candidate))


_TOPICS: dict[type[Scoring], str] = {ScoreInterface: "links", ScoreServer: "servers"}
