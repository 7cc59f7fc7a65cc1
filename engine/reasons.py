"""The argument for an answer: statements with file:line, in words for people."""

from __future__ import annotations

from typing import assert_never

from engine.attachment import AttachmentPoint
from engine.judge import AVOIDED, NEVER, Action, Judgement, Position, Standing, in_use
from engine.scoring import Reason, Variant
from engine.world import World
from policylang.ast import Span


def argue(group: Variant, position: Position, judgement: Judgement, world: World) -> tuple[Reason, ...]:
    """Return why the answer of a judgement is what it is."""
    answer = judgement.answer
    current = in_use(judgement.standings)
    target = None if answer.to is None else _find(judgement, answer.to)
    match answer.action:
        case Action.STAY:
            return _argue_stay(group, position, judgement, current, world)
        case Action.MOVE:
            assert target is not None
            if judgement.situation.lost_since is None:
                assert current is not None
                return _argue_lead(group, target, current)
            return (*_argue_lost(position, current, world, group), *_argue_best(target))
        case Action.SUSPEND:
            return (*_argue_lost(position, current, world, group), *_argue_none(group))
        case Action.RESUME:
            assert target is not None
            return _argue_best(target) if group.migrate.value else _argue_pinned(group, target)
        case _:
            assert_never(answer.action)


def _find(judgement: Judgement, point: AttachmentPoint) -> Standing | None:
    return next((s for s in judgement.standings if s.point is point), None)


def _argue_stay(
    group: Variant, position: Position, judgement: Judgement, current: Standing | None, world: World
) -> tuple[Reason, ...]:
    if not group.migrate.value:
        return (Reason(span=group.migrate.span, text="`migrate never` leaves the session alone"),)
    if position.suspended:
        return (Reason(span=None, text="the session is suspended and no link is eligible"),)
    if current is None or current.why_not:
        return (*_argue_lost(position, current, world, group), *_argue_waiting(group, judgement))
    if not judgement.situation.leads:
        text = f"no other link leads `{current.point.name}` by {max(group.margin.value, 1)}"
        return (*current.score.reasons, Reason(span=group.margin.span, text=text))
    leaders = {key for key, _ in judgement.situation.leads}
    names = ", ".join(f"`{s.point.name}`" for s in judgement.standings if s.point.key in leaders)
    text = f"{names} must lead for {group.settle_s.value:g} s without a break"
    return (*current.score.reasons, Reason(span=group.settle_s.span, text=text))


def _argue_waiting(group: Variant, judgement: Judgement) -> tuple[Reason, ...]:
    """Say what a session whose link is lost is waiting for."""
    if judgement.situation.none_since is None:
        return ()
    if group.suspend_after_s.value is None:
        return (Reason(span=group.suspend_after_s.span, text="no link is eligible; `suspend never`"),)
    return _argue_none(group)


def _argue_lead(group: Variant, target: Standing, current: Standing) -> tuple[Reason, ...]:
    lead = target.score.value - current.score.value
    margin = f"leads `{current.point.name}` by {lead}; the margin is {group.margin.value}"
    settle = f"the lead must last {group.settle_s.value:g} s without a break"
    return (
        *target.score.reasons,
        *current.score.reasons,
        Reason(span=group.margin.span, text=margin),
        Reason(span=group.settle_s.span, text=settle),
    )


def _argue_lost(
    position: Position, current: Standing | None, world: World, group: Variant
) -> tuple[Reason, ...]:
    """Say why the point in use can't be kept, and by which delay that was acted on."""
    interface, address = position.current
    why = world.status(position.current) if current is None else current.why_not
    span = _blamed(current)
    point = f"`{address}` on `{interface}`" if interface else f"`{address}`"
    lost = Reason(span=span, text=f"{point}, in use, is not eligible: {why}")
    if not group.delay_s.value:
        return (lost,)
    return (lost, Reason(span=group.delay_s.span, text=f"the delay is {group.delay_s.value:g} s"))


def _blamed(standing: Standing | None) -> Span | None:
    """Return the statement for which a point is not eligible, if it is a statement."""
    if standing is None:
        return None
    return {NEVER: standing.score.never, AVOIDED: standing.score.avoid}.get(standing.why_not)


def _argue_pinned(group: Variant, target: Standing) -> tuple[Reason, ...]:
    text = f"the session was on `{target.point.name}`; `migrate never` lets it go nowhere else"
    return (Reason(span=group.migrate.span, text=text),)


def _argue_best(target: Standing) -> tuple[Reason, ...]:
    return (
        *target.score.reasons,
        Reason(span=None, text=f"`{target.point.name}` is the best eligible link"),
    )


def _argue_none(group: Variant) -> tuple[Reason, ...]:
    after = group.suspend_after_s
    return (Reason(span=after.span, text=f"no link is eligible; suspended after {after.value or 0:g} s"),)
