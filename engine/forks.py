"""How the `when`s of a class stand for one session: for people who ask why."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from engine.classes import SessionClass
from engine.facts import HOST, Key
from engine.triggers import Triggers
from engine.wording import condition
from monitors.facts import FactValue, Subject
from policylang.ast import Span, When


class ConditionRow(Struct, frozen=True, kw_only=True):
    """One `when` and one of those that it is judged for.

    Attributes:
        text: What it says.
        span: Where the `when` stands.
        subject: ``host``, a link's name, ``session``, or ``connection`` and what tells it apart.
        value: What its first fact is measured to be; ``None`` if nobody knows.
        holds: Whether its body is read, and not its `else`.
        due: When that changes if nothing else is measured; ``None``: not by itself.
    """

    text: str
    span: Span
    subject: str
    value: FactValue | None
    holds: bool
    due: float | None


def condition_rows(
    base: SessionClass, triggers: Triggers, session: str, peer: str, links: Iterable[str]
) -> tuple[ConditionRow, ...]:
    """Return a row for every `when` that is read for a session, and everything that it is judged for there.

    Args:
        base: the session's class.
        triggers: what is measured and on.
        session: its name; empty for one that is only described, of which nothing is measured.
        peer: its peer's address.
        links: the names of the links that it could use.
    """
    if not base.whens:
        return ()
    names = tuple(dict.fromkeys(links))
    return tuple(
        _row(when, number, triggers, subject, key)
        for when, number in base.whens
        for subject, key in _asked(when, triggers, session, peer, names)
    )


def _asked(
    when: When, triggers: Triggers, session: str, peer: str, links: tuple[str, ...]
) -> list[tuple[str, Key]]:
    """Return what a `when` is judged for, as people call it and as the facts do."""
    match when.threshold.subject:
        case Subject.LINK:
            return [(link, (Subject.LINK.value, link)) for link in links]
        case Subject.PATH:
            return [(link, (Subject.PATH.value, link, peer)) for link in links]
        case Subject.SESSION:
            return [("session", (Subject.SESSION.value, session))]
        case Subject.CONNECTION:
            known = sorted(triggers.connections(when.threshold.fact, session))
            return [(f"connection {key[2]}".rstrip(), key) for key in known] or [
                ("connection", (Subject.CONNECTION.value, session, ""))
            ]
    return [("host", HOST)]


def _row(when: When, number: int, triggers: Triggers, subject: str, key: Key) -> ConditionRow:
    return ConditionRow(
        text=condition(when),
        span=when.span,
        subject=subject,
        value=triggers.value(when.threshold.fact, key),
        holds=triggers.is_on(number, key),
        due=triggers.due(number, key),
    )
