"""The decision: for one group of equal sessions, at one moment, what to do and when to look again.

`judge` is a pure function. Its six steps are those of "The decision" in
``docs/semantics.md``; clocks that are running are handed in and out as a `Situation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from engine.attachment import AttachmentPoint, PointKey
from engine.board import NO_PATHS, NOTHING
from engine.scoring import Score, Variant
from engine.world import USABLE, World


class Position(Struct, frozen=True, kw_only=True):
    """Where a session is: the point in use, whether it is suspended, and how the ways to its peer are.

    To the points in ``barred`` it can't be moved. ``paths`` says which triggers are on for the paths to
    its peer, as (interface, number of the trigger).
    """

    current: PointKey
    suspended: bool = False
    barred: frozenset[PointKey] = frozenset()
    paths: frozenset[tuple[str, int]] = NO_PATHS


class Action(Enum):
    """What an answer asks for."""

    STAY = "stay"
    MOVE = "move"
    SUSPEND = "suspend"
    RESUME = "resume"


class Answer(Struct, frozen=True, kw_only=True):
    """An action and what belongs to it; equal answers are one decision and are given once."""

    action: Action
    to: AttachmentPoint | None = None
    urgent: bool = False


STAY = Answer(action=Action.STAY)


class Situation(Struct, frozen=True, kw_only=True):
    """The clocks that run for a session, and the answer it was given last.

    ``leads`` says since when each challenger has led the point in use by the margin,
    ``lost_since`` since when the point in use has not been eligible, ``none_since``
    since when nothing has been. Times are those of the caller's clock, in seconds.
    """

    leads: tuple[tuple[PointKey, float], ...] = ()
    lost_since: float | None = None
    none_since: float | None = None
    given: Answer = STAY


CALM = Situation()


class Standing(Struct, frozen=True, gc=False):
    """How one attachment point stands: its score, and why it is not eligible (empty if it is)."""

    point: AttachmentPoint
    score: Score
    current: bool
    why_not: str


class Judgement(Struct, frozen=True, kw_only=True):
    """An answer, the situation after it, and the next time at which the answer may change.

    ``wish`` is what the answer will be once the clocks that run have come to their end.
    """

    answer: Answer
    wish: Answer
    situation: Situation
    due: float | None
    standings: tuple[Standing, ...]


NEVER = "a `never` rules it out"
AVOIDED = "a last resort, and there is another link"
BARRED = "a move there failed a short while ago"


OnLinks = Mapping[str, frozenset[int]]
"""The numbers of the triggers that are on for each link, by its name."""


def standings(
    group: Variant, position: Position, world: World, links: OnLinks = MappingProxyType({})
) -> tuple[Standing, ...]:
    """Return how every attachment point stands for a group of sessions; ``links``: as for `judge`."""
    # One loop without calls for the common case: this is half of the time that a decision takes.
    in_use, family, guards, on = position.current, group.family, group.guards, NOTHING
    table, avoided = [], False
    for point, key, status in world.places:
        current = key == in_use
        if guards:
            on = on_at(point.interface, group, position, links)
        score = group.score(point.name, current, on)
        why_not = status
        if status == USABLE and (point.family != family or score.never is not None or position.barred):
            why_not = _why_not(point, group, position, score)
        if score.avoid is not None:
            avoided = True
        table.append(Standing(point, score, current, why_not))
    return tuple(_without_last_resorts(table) if avoided else table)


def _without_last_resorts(table: list[Standing]) -> list[Standing]:
    """Rule out what is to be avoided, if anything else is eligible."""
    if all(standing.why_not or standing.score.avoid is not None for standing in table):
        return table
    return [
        replace(standing, why_not=AVOIDED) if standing.score.avoid and not standing.why_not else standing
        for standing in table
    ]


def on_at(interface: str, group: Variant, position: Position, links: OnLinks) -> frozenset[int]:
    """Return those of the triggers that the group's scores depend on that are on at a link."""
    on = links.get(interface, NOTHING)
    if position.paths:
        on = on.union(number for name, number in position.paths if name == interface)
    return on & group.guards


def _why_not(point: AttachmentPoint, group: Variant, position: Position, score: Score) -> str:
    """Say why a usable point is not eligible; the empty text if it is."""
    if point.family != group.family:
        return f"the peer is reached by IPv{group.family}"
    if score.never is not None:
        return NEVER
    # A failed move bars the way to a point; it is no reason to leave a point that works.
    if point.key in position.barred and (position.suspended or point.key != position.current):
        return BARRED
    return ""


def judge(
    group: Variant,
    position: Position,
    situation: Situation,
    world: World,
    now: float,
    links: OnLinks = MappingProxyType({}),
) -> Judgement:
    """Judge a group of sessions that are alike.

    Args:
        group: the class of the sessions, and what is on for them.
        position: where they are.
        situation: the clocks that run for them and the answer given last.
        world: the links and addresses.
        now: the time in seconds, on the clock of all other times.
        links: the triggers that are on for each link.
    """
    table = standings(group, position, world, links)
    current = in_use(table)
    eligible = [s for s in table if not s.why_not]
    if not group.migrate.value:
        answer, wish, clocks, due = _stay_put(position, current)
    elif position.suspended:
        answer, wish, clocks, due = _resume(_best(eligible))
    elif current is not None and not current.why_not:
        answer, wish, clocks, due = _challenge(group, situation, current, eligible, now)
    else:
        usable = current is not None and world.status(position.current) == USABLE
        answer, wish, clocks, due = _leave(group, situation, _best(eligible), not usable, now)
    if answer is not STAY:
        clocks = replace(clocks, given=answer)
    return Judgement(answer=answer, wish=wish, situation=clocks, due=due, standings=table)


def in_use(table: tuple[Standing, ...]) -> Standing | None:
    """Return how the point in use stands, if it is there."""
    for standing in table:
        if standing.current:
            return standing
    return None


def _best(eligible: list[Standing]) -> Standing | None:
    """Return the one with the highest score; of equals the point in use, then the first."""
    return max(eligible, key=_rank, default=None)


def _rank(standing: Standing) -> tuple[int, bool]:
    return (standing.score.value, standing.current)


_Outcome = tuple[Answer, Answer, Situation, float | None]
"""Answer, wish, the clocks that run, and when to judge again."""


def _stay_put(position: Position, current: Standing | None) -> _Outcome:
    """`migrate never`: never moved, never suspended; one that is suspended resumes where it was.

    For it there is no other link, so that a last resort is as good as any.
    """
    if position.suspended and current is not None and current.why_not in ("", AVOIDED):
        return _resume(current)
    return STAY, STAY, CALM, None


def _resume(best: Standing | None) -> _Outcome:
    """Resume on the best as soon as there is one."""
    if best is None:
        return STAY, STAY, CALM, None
    answer = Answer(action=Action.RESUME, to=best.point)
    return answer, answer, CALM, None


def _challenge(
    group: Variant, situation: Situation, current: Standing, eligible: list[Standing], now: float
) -> _Outcome:
    """Move to the best of the challengers that have led by the margin for the whole of `settle`.

    Each challenger has its own clock, so that one that comes and goes can't keep a steady one waiting.
    """
    lead = max(group.margin.value, 1)  # a tie keeps the point in use, whatever the margin
    challengers = [s for s in eligible if s.score.value - current.score.value >= lead]
    if not challengers:
        return STAY, STAY, CALM, None
    started = dict(situation.leads)
    leads = tuple([(key := s.point.key, started.get(key, now)) for s in challengers])
    dues = [since + group.settle_s.value for _, since in leads]
    wish = _move_to(_best(challengers))
    settled = [s for s, due in zip(challengers, dues, strict=True) if due <= now]
    pending = min([due for due in dues if due > now], default=None)
    answer = wish if pending is None else _move_to(_best(settled))
    return answer, wish, Situation(leads=leads), pending


def _move_to(best: Standing | None) -> Answer:
    return STAY if best is None else Answer(action=Action.MOVE, to=best.point)


def _leave(group: Variant, situation: Situation, best: Standing | None, urgent: bool, now: float) -> _Outcome:
    """The point in use is not eligible: move to the best after `delay`, or suspend if there is none."""
    lost_since = now if situation.lost_since is None else situation.lost_since
    due = lost_since + group.delay_s.value
    if best is not None:
        wish = Answer(action=Action.MOVE, to=best.point, urgent=urgent)
        return _when_due(wish, Situation(lost_since=lost_since), due, now)
    none_since = now if situation.none_since is None else situation.none_since
    clocks = Situation(lost_since=lost_since, none_since=none_since)
    if group.suspend_after_s.value is None:
        return STAY, STAY, clocks, None
    due = max(due, none_since + group.suspend_after_s.value)
    return _when_due(Answer(action=Action.SUSPEND), clocks, due, now)


def _when_due(answer: Answer, clocks: Situation, due: float, now: float) -> _Outcome:
    """Give an answer if its time has come, else say when it will."""
    return (answer, answer, clocks, None) if due <= now else (STAY, answer, clocks, due)
