"""The counters monitor."""

from __future__ import annotations

from monitors.spec import Monitor, hookimpl


@hookimpl
def migrate_monitors() -> tuple[Monitor, ...]:
    """Offer the counters monitor."""
    return ()
