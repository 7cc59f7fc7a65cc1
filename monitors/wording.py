"""Events in a few plain words, for those who look at what monitors say."""

from __future__ import annotations

from typing import assert_never

from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, LinkState
from monitors.facts import FactValue


def in_words(event: Event, unit: str = "") -> str:
    """Return an event as one line, such as ``rtt wlan0 -> 10.0.0.9 = 0.031 s``.

    Args:
        event: what a monitor reported.
        unit: of a measurement's values, as its fact declares it.
    """
    match event:
        case LinkState():
            return f"{event.interface} {_link_state(event)}"
        case LinkGone():
            return f"{event.interface} is gone"
        case AddressPresent():
            doubt = "" if event.usable else ", not usable"
            return f"{event.interface} has {event.address}/{event.prefix_length}{doubt}"
        case AddressGone():
            return f"{event.interface} has {event.address} no longer"
        case FactMeasured():
            return " ".join(filter(None, (event.fact, subject_in_words(event), _outcome(event.value, unit))))
        case _:
            assert_never(event)


def subject_in_words(event: FactMeasured) -> str:
    """Return what a measurement is about; empty for the host."""
    if event.peer:
        return f"{event.interface} -> {event.peer}"
    connection = f" connection {event.connection}" if event.connection else ""
    return f"session {event.session}{connection}" if event.session else event.interface


def value_in_words(value: FactValue, unit: str = "") -> str:
    """Return a value with its unit: flags as policies write them, numbers with six digits at most."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    digits = f"{value:.0f}" if abs(value) >= 1e5 else f"{value:.6g}"
    return f"{digits} {unit}" if unit else digits


def _outcome(value: FactValue | None, unit: str) -> str:
    return "is not known" if value is None else f"= {value_in_words(value, unit)}"


def _link_state(link: LinkState) -> str:
    if link.usable:
        return "is up"
    if not link.up:
        return "is switched off"
    state = link.operstate.value.replace("-", " ")
    return f"has no carrier ({state})" if not link.carrier else f"has its carrier and is {state}"
