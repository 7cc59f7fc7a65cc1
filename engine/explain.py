"""Explanations: every attachment point, eligible or why not, its score, the winner and why.

All types here are structs that `msgspec.to_builtins` and `msgspec.json.encode` take as they are.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from engine.attachment import AttachmentPoint, PointKey
from engine.decision import Decision, decisions_for
from engine.forks import ConditionRow
from engine.judge import (
    AVOIDED,
    NEVER,
    Action,
    Judgement,
    OnLinks,
    Position,
    Situation,
    Standing,
    in_use,
    judge,
    on_at,
)
from engine.reasons import argue
from engine.scoring import Reason, Variant
from engine.world import USABLE, World


class PointExplanation(Struct, frozen=True, kw_only=True, gc=False):
    """How an attachment point stands for a session, and the statements that made it so.

    ``last_resort`` says that an `avoid` is for it; it may be eligible all the same.
    """

    name: str
    interface: str
    address: str
    family: int
    current: bool
    eligible: bool
    why_not: str
    score: int
    last_resort: bool
    reasons: tuple[Reason, ...]


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a session is where it is, or is to go elsewhere.

    ``decision`` is what holds now. ``winner`` is where the session will be if nothing changes any
    more, once `settle` and `delay` have run (``None``: nowhere), and ``reasons`` say why that is so.
    ``due`` is the time, on the caller's clock, at which these clocks may change the decision. ``conditions``
    are the `when`s that are read for the session, as they stand now, with the clocks of their own.
    """

    session: str
    current: PointKey
    suspended: bool
    links: tuple[PointExplanation, ...]
    decision: Decision
    winner: AttachmentPoint | None
    due: float | None
    reasons: tuple[Reason, ...]
    conditions: tuple[ConditionRow, ...] = ()


class LinkRow(Struct, frozen=True, kw_only=True):
    """An attachment point, whether packets can leave by it, and its score outside every `on`."""

    name: str
    interface: str
    index: int
    address: str
    family: int
    usable: bool
    why_not: str
    score: int
    ruled_out: bool
    reasons: tuple[Reason, ...]


def explain(
    session: str,
    group: Variant,
    position: Position,
    situation: Situation,
    world: World,
    now: float,
    links: OnLinks,
    conditions: tuple[ConditionRow, ...],
) -> Explanation:
    """Explain the decision for one session at ``now``, in seconds; the rest is as for `judge`."""
    present = judge(group, position, situation, world, now, links)
    reasons = argue(group, position, present, world)
    final, decision = present, decisions_for((session,), present.answer, reasons)[0]
    if present.due is not None:
        final = replace(present, answer=present.wish)
        reasons = argue(group, position, final, world)
    return Explanation(
        session=session,
        current=position.current,
        suspended=position.suspended,
        links=point_rows(present.standings),
        decision=decision,
        winner=_winner(group, position, final),
        due=present.due,
        reasons=reasons,
        conditions=conditions,
    )


def point_rows(table: tuple[Standing, ...]) -> tuple[PointExplanation, ...]:
    """Return a row for every attachment point, as it stands for a session."""
    return tuple([_explain_point(standing) for standing in table])


def link_row(point: AttachmentPoint, world: World, group: Variant, links: OnLinks) -> LinkRow:
    """Return the row of an attachment point, as it stands for a session that no `on` speaks of."""
    on = on_at(point.interface, group, Position(current=("", "")), links)
    score, why_not = group.score(point.name, current=False, on=on), world.status(point.key)
    return LinkRow(
        name=point.name,
        interface=point.interface,
        index=point.index,
        address=point.address,
        family=point.family,
        usable=why_not == USABLE,
        why_not=why_not,
        score=score.value,
        ruled_out=score.never is not None,
        reasons=score.reasons,
    )


def _explain_point(standing: Standing) -> PointExplanation:
    point, score, why_not = standing.point, standing.score, standing.why_not
    return PointExplanation(
        name=point.name,
        interface=point.interface,
        address=point.address,
        family=point.family,
        current=standing.current,
        eligible=not why_not,
        why_not=why_not,
        score=score.value,
        last_resort=score.avoid is not None,
        reasons=score.reasons if why_not in ("", NEVER) else _ruled_out(standing),
    )


def _ruled_out(standing: Standing) -> tuple[Reason, ...]:
    """What the world rules out no statement is to blame for; what is to be avoided one is."""
    span = standing.score.avoid if standing.why_not == AVOIDED else None
    return (Reason(span=span, text=f"`{standing.point.name}` is not eligible: {standing.why_not}"),)


def _winner(group: Variant, position: Position, final: Judgement) -> AttachmentPoint | None:
    """Return where a session ends up: where it is sent, or where it is if it may stay and live there."""
    if final.answer.action is not Action.STAY:
        return final.answer.to
    current = in_use(final.standings)
    if current is None or position.suspended:
        return None
    pinned = not group.migrate.value
    return current.point if pinned or not current.why_not else None
