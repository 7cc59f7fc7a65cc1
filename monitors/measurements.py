"""Whether a measurement is one that its monitor may report: declared, well typed, about the right thing.

A plugin has no type checker at run time. What it reports is judged before it goes any further, so that a fact
that is not what policies were checked against never reaches them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TypeGuard

from monitors.events import FactMeasured
from monitors.facts import Fact, FactType, FactValue, Subject
from monitors.texts import is_encodable

_FIELDS: dict[Subject, frozenset[str]] = {
    Subject.HOST: frozenset(),
    Subject.LINK: frozenset({"interface"}),
    Subject.PATH: frozenset({"interface", "peer"}),
    Subject.SESSION: frozenset({"session"}),
    Subject.CONNECTION: frozenset({"session", "connection"}),
}
"""The fields that say what a measurement is about, by the kind of its subject; the others stay empty."""

_ALL_FIELDS = ("interface", "peer", "session", "connection")


TEXT_LIMIT = 1000
"""Characters of a text, as a value or as what it is about: many are kept, sent and written down."""

FUTURE_LIMIT_S = 1.0
"""How far ahead of the clock a time of measurement may be; one that is further is of another clock."""


def fault_of(event: FactMeasured, declared: Iterable[Fact], *, now: float = math.inf) -> str:
    """Return what is wrong with a measurement, and what to do; empty if nothing is.

    Args:
        event: what a monitor reports.
        declared: the facts that it says it measures.
        now: the event loop's clock, in seconds; by default no time of measurement is too late.
    """
    fact = next((fact for fact in declared if fact.name == event.fact), None)
    if fact is None:
        return f"it reported the fact `{event.fact}`, which it does not declare; add it to `facts`"
    wrong = _wrong_value(event, fact) or _wrong_subject(event, fact) or _wrong_times(event, now)
    return wrong and f"it reported the fact `{fact.name}` {wrong}"


def _wrong_value(event: FactMeasured, fact: Fact) -> str:
    value = event.value
    if value is None:
        return ""
    match fact.type:
        case FactType.NUMBER:
            good = _is_finite(value)
            expected = "a finite number"
        case FactType.FLAG:
            good, expected = isinstance(value, bool), "`True` or `False`"
        case FactType.TEXT:
            good = _is_text(value) and (not fact.choices or value in fact.choices)
            expected = f"one of {', '.join(fact.choices)}" if fact.choices else "a text"
    return "" if good else f"with the value {value!r:.80}; report {expected}, or `None` if it is not known"


def _wrong_subject(event: FactMeasured, fact: Fact) -> str:
    wanted = _FIELDS[fact.subject]
    for field in _ALL_FIELDS:
        text = getattr(event, field)
        if not _is_text(text) or bool(text) != (field in wanted):
            verb = "needs" if field in wanted else "has no"
            return f"with {field}={text!r:.80}; a fact about a {fact.subject.value} {verb} `{field}`"
    if "peer" in wanted and not _is_canonical(event.peer):
        return f"with peer={event.peer!r:.80}; write the peer's address as `ipaddress` does"
    return ""


def _is_canonical(address: str) -> bool:
    try:
        return str(ip_address(address)) == address
    except ValueError:
        return False


def _wrong_times(event: FactMeasured, now: float) -> str:
    lifetime_s: object = event.lifetime_s
    if lifetime_s is not None and not (_is_finite(lifetime_s) and lifetime_s > 0):
        return f"with lifetime_s={lifetime_s!r:.80}; give seconds above 0, or `None` for ever"
    at: object = event.measured_at
    if at is not None and not (_is_finite(at) and at <= now + FUTURE_LIMIT_S):
        return f"with measured_at={at!r:.80}; give a time of the event loop's clock, or `None` for now"
    return ""


def _is_finite(value: object) -> TypeGuard[float]:
    try:
        return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an `int` beyond all floats
        return False


def _is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is text that can be written down: short, without halves of surrogate pairs."""
    return isinstance(value, str) and len(value) <= TEXT_LIMIT and is_encodable(value)


def plain(event: FactMeasured, measured_at: float) -> FactMeasured:
    """Return a good measurement with nothing but values of the built-in types.

    Those of subclasses pass for them, as numpy's numbers and members of a ``StrEnum`` do, but can be neither
    written down nor trusted.

    Args:
        event: one without a fault.
        measured_at: counts where the event has no time of its own, in seconds.
    """
    at = event.measured_at
    return FactMeasured(
        fact=str.__str__(event.fact),
        value=None if event.value is None else _plain_value(event.value),
        interface=str.__str__(event.interface),
        peer=str.__str__(event.peer),
        session=str.__str__(event.session),
        connection=str.__str__(event.connection),
        lifetime_s=None if event.lifetime_s is None else _plain_number(event.lifetime_s),
        measured_at=measured_at if at is None else _plain_number(at),
    )


def _plain_value(value: FactValue) -> FactValue:
    if isinstance(value, str):
        return str.__str__(value)
    return value if isinstance(value, bool) else _plain_number(value)


def _plain_number(value: float) -> float:
    return int.__int__(value) if isinstance(value, int) else float.__float__(value)
