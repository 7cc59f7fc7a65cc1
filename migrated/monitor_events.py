"""The events of monitors as they are told over the control socket."""

from __future__ import annotations

from typing import Any, assert_never

from migrated.control.messages import EventReport
from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, LinkState
from monitors.facts import FactTable
from monitors.wording import in_words


def event_report(monitor: str, at: float, event: Event, facts: FactTable) -> EventReport:
    """Return what a monitor reported.

    Its name is one of ``link``, ``link-gone``, ``address``, ``address-gone`` and ``fact``; its fields are the
    monitor's name, those of the event (of a fact those that say something, and its unit), and a ``text`` for
    people.

    Args:
        monitor: the monitor's name.
        at: when it reported it, in seconds since the epoch.
        event: what it reported.
        facts: those of this host.
    """
    name, fields = _told(event, facts)
    unit = unit_of(event.fact, facts) if isinstance(event, FactMeasured) else ""
    return EventReport(
        time=at, event=name, fields={"monitor": monitor, **fields, "text": in_words(event, unit)}
    )


def _told(event: Event, facts: FactTable) -> tuple[str, dict[str, Any]]:
    match event:
        case LinkState():
            return "link", {
                "interface": event.interface,
                "up": event.up,
                "carrier": event.carrier,
                "operstate": event.operstate.value,
            }
        case LinkGone():
            return "link-gone", {"interface": event.interface}
        case AddressPresent():
            return "address", {
                "interface": event.interface,
                "label": event.label,
                "address": event.address,
                "prefix_length": event.prefix_length,
                "usable": event.usable,
            }
        case AddressGone():
            return "address-gone", {"interface": event.interface, "address": event.address}
        case FactMeasured():
            return "fact", _fact_fields(event, facts)
        case _:
            assert_never(event)


def _fact_fields(event: FactMeasured, facts: FactTable) -> dict[str, Any]:
    told = {
        "unit": unit_of(event.fact, facts),
        "interface": event.interface,
        "peer": event.peer,
        "session": event.session,
        "connection": event.connection,
        "lifetime_s": event.lifetime_s,
    }
    return {"fact": event.fact, "value": event.value, **{key: value for key, value in told.items() if value}}


def unit_of(fact: str, facts: FactTable) -> str:
    """Return the unit of a fact's values; empty for one that has none or is not known here."""
    known = facts.known.get(fact)
    return known.unit if known is not None else ""
