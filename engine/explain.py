"""Explanations: every attachment point, eligible or why not, its score, the winner and why.

All types here are structs that `msgspec.to_builtins` and `msgspec.json.encode` take as they are.
"""

from __future__ import annotations

import math

from msgspec import Struct

from engine.attachment import AttachmentPoint, PointKey
from engine.decision import Decision, Reason, decisions_for
from engine.judge import NEVER, Action, Judgement, Position, Situation, Standing, judge
from engine.reasons import argue, score_reasons
from engine.rules import RuleSet
from engine.scoring import SessionClass
from engine.world import USABLE, World


class PointExplanation(Struct, frozen=True, kw_only=True):
    """How an attachment point stands for a session, and the statements that made it so."""

    name: str
    interface: str
    address: str
    family: int
    current: bool
    eligible: bool
    why_not: str
    score: int
    reasons: tuple[Reason, ...]


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a session is where it is, or is to go elsewhere.

    ``decision`` is what holds now. ``winner`` is where the session will be if nothing changes any
    more, once `settle` and `delay` have run (``None``: nowhere), and ``reasons`` say why that is so.
    ``due`` is the time, on the caller's clock, at which the decision may change by itself.
    """

    session: str
    current: PointKey
    suspended: bool
    links: tuple[PointExplanation, ...]
    decision: Decision
    winner: AttachmentPoint | None
    due: float | None
    reasons: tuple[Reason, ...]


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
    reasons: tuple[Reason, ...]


def explain(
    session: str, group: SessionClass, position: Position, situation: Situation, world: World, now: float
) -> Explanation:
    """Explain the decision for one session at ``now``, in seconds."""
    present = judge(group, position, situation, world, now)
    final = judge(group, position, situation, world, math.inf)
    decision = decisions_for((session,), present.answer, argue(group, position, present, world))[0]
    return Explanation(
        session=session,
        current=position.current,
        suspended=position.suspended,
        links=tuple(_explain_point(standing) for standing in present.standings),
        decision=decision,
        winner=_winner(group, position, final),
        due=present.due,
        reasons=argue(group, position, final, world),
    )


def link_rows(world: World, rules: RuleSet) -> tuple[LinkRow, ...]:
    """Return a row for every attachment point, as it stands for a session that no `on` speaks of."""
    return tuple(_link_row(point, world, rules.unconditional(point.family)) for point in world.points)


def _link_row(point: AttachmentPoint, world: World, group: SessionClass) -> LinkRow:
    score, why_not = group.score(point.name, current=False), world.status(point.key)
    return LinkRow(
        name=point.name,
        interface=point.interface,
        index=point.index,
        address=point.address,
        family=point.family,
        usable=why_not == USABLE,
        why_not=why_not,
        score=score.value,
        reasons=score_reasons(point.name, score),
    )


def _explain_point(standing: Standing) -> PointExplanation:
    point = standing.point
    return PointExplanation(
        name=point.name,
        interface=point.interface,
        address=point.address,
        family=point.family,
        current=standing.current,
        eligible=not standing.why_not,
        why_not=standing.why_not,
        score=standing.score.value,
        reasons=_point_reasons(standing),
    )


def _point_reasons(standing: Standing) -> tuple[Reason, ...]:
    name, why_not = standing.point.name, standing.why_not
    if why_not in ("", NEVER):
        return score_reasons(name, standing.score)
    # What the world rules out no statement is to blame for.
    return (Reason(span=None, text=f"`{name}` is not eligible: {why_not}"),)


def _winner(group: SessionClass, position: Position, final: Judgement) -> AttachmentPoint | None:
    """Return where a session ends up: where it is sent, or where it is if it may stay and live there."""
    if final.answer.action is not Action.STAY:
        return final.answer.to
    current = next((s for s in final.standings if s.current), None)
    if current is None or position.suspended:
        return None
    pinned = not group.migrate.value
    return current.point if pinned or not current.why_not else None
