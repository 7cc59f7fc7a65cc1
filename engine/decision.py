"""Decisions: frozen values that say what to do with a session, and which statements made them so."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from engine.attachment import AttachmentPoint
from engine.judge import Action, Answer
from engine.scoring import Reason

# Decisions come by the hundred thousand after one event and form no cycles, so the
# garbage collector need not look at them (`gc=False`).


class Stay(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Leave the session where it is; found in explanations, never sent."""

    session: str
    reasons: tuple[Reason, ...]


class Move(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Move the session to ``to``; ``urgent`` if packets can't leave by the point in use."""

    session: str
    to: AttachmentPoint
    urgent: bool
    reasons: tuple[Reason, ...]


class Suspend(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Park the session: no attachment point is eligible."""

    session: str
    reasons: tuple[Reason, ...]


class Resume(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Bring a suspended session back to life on ``to``."""

    session: str
    to: AttachmentPoint
    reasons: tuple[Reason, ...]


Decision = Stay | Move | Suspend | Resume


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether a connection of an unmodified program is made into a session, and why."""

    adopt: bool
    reasons: tuple[Reason, ...]


def decisions_for(
    sessions: Iterable[str], answer: Answer, reasons: tuple[Reason, ...]
) -> list[Stay] | list[Move] | list[Suspend] | list[Resume]:
    """Return the decision that an answer means for each session."""
    if answer.action is Action.STAY:
        return [Stay(session=session, reasons=reasons) for session in sessions]
    if answer.action is Action.SUSPEND:
        return [Suspend(session=session, reasons=reasons) for session in sessions]
    to, urgent = answer.to, answer.urgent
    assert to is not None
    if answer.action is Action.MOVE:
        return [Move(session=session, to=to, urgent=urgent, reasons=reasons) for session in sessions]
    return [Resume(session=session, to=to, reasons=reasons) for session in sessions]
