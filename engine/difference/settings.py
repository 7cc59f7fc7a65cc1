"""What two policies say of a session besides where it should be, as questions.

Source: "Scores" in ``docs/semantics.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from engine.difference.answers import Answer, Aspect, spans_of
from engine.difference.cases import Asked
from engine.difference.reading import Reading, shape
from engine.wording import duration
from policylang.ast import Adopt, ExpireRule, Layer, NotifyRule, ResumeRule, Statement


def settings() -> Iterator[Aspect]:
    """Yield the questions about single statements of which the last counts."""
    yield _setting("adopt", _adopt, Adopt)
    yield _setting("expire", _expire, ExpireRule)
    yield _setting("resume", _resume, ResumeRule)
    yield _setting("notify", _notify, NotifyRule)


def _setting(topic: str, answer: Callable[[Reading, Asked], Answer], kind: type[Statement]) -> Aspect:
    return Aspect(
        topic,
        (),
        lambda reading: shape(reading.of_kind(kind)),
        lambda old, new, asked: (answer(old, asked), answer(new, asked)),
    )


def _adopt(reading: Reading, asked: Asked) -> Answer:
    rule = reading.last(Adopt, asked)
    wanted = rule is not None and rule.adopt
    return Answer(wanted, "is adopted" if wanted else "is not adopted", spans_of(rule))


def _resume(reading: Reading, asked: Asked) -> Answer:
    rule = reading.last(ResumeRule, asked)
    eager = rule is None or rule.eager
    text = "is asked for its continuation at once" if eager else "is asked for its continuation when needed"
    return Answer(eager, text, spans_of(rule))


def _notify(reading: Reading, asked: Asked) -> Answer:
    rule = reading.last(NotifyRule, asked)
    told = rule is None or rule.notify
    return Answer(told, "is told of events" if told else "is not told of events", spans_of(rule))


def _expire(reading: Reading, asked: Asked) -> Answer:
    """Of the last of each layer the shortest; that of the defaults holds only where there is no other."""
    last: dict[Layer, ExpireRule] = {}
    for rule in reading.every(ExpireRule, asked):
        last.setdefault(rule.layer, rule)
    if len(last) > 1:
        last.pop(Layer.DEFAULT, None)
    if not last:
        return Answer(math.inf, "never expires", ())
    shortest = min(last.values(), key=_expires_after)
    after = _expires_after(shortest)
    text = "never expires" if after == math.inf else f"expires after {duration(after)}"
    return Answer(after, text, (shortest.span,))


def _expires_after(rule: ExpireRule) -> float:
    return math.inf if rule.after_s is None else rule.after_s
