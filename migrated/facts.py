"""The facts that a policy may speak of on this host: the standard ones and those of installed plugins."""

from __future__ import annotations

from functools import cache

from monitors.facts import FactTable


@cache
def known_facts() -> FactTable:
    """Return the facts by name, and which of them an installed monitor measures.

    Plugins are imported for it, so it is asked only for a policy that speaks of facts.
    """
    from monitors.discovery import discover

    return FactTable.of(fact for monitor in discover().monitors for fact in monitor.facts)
