"""The facts that a policy may speak of on this host: the standard ones and those of installed plugins."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from monitors.facts import FactTable

if TYPE_CHECKING:
    from monitors.discovery import Discovery


@cache
def known_facts() -> FactTable:
    """Return the facts by name, and which of them an installed monitor measures.

    Plugins are imported for it, so it is asked only for a policy that speaks of facts.
    """
    from monitors.discovery import discover

    return facts_of(discover())


def facts_of(found: Discovery) -> FactTable:
    """Return the facts by name, and which of them one of these monitors measures."""
    return FactTable.of(fact for monitor in found.monitors for fact in monitor.facts)
