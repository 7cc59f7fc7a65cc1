"""What a monitor is, and the hook by which a plugin offers its monitors.

pluggy only *finds* monitors. Everything after that is the typed, asynchronous
``Monitor``, because hook calls have no types and cannot be awaited.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Protocol, runtime_checkable

import pluggy

from monitors.events import Event
from monitors.facts import Fact
from monitors.surroundings import Surroundings

PROJECT = "migrate"
ENTRY_POINT_GROUP = "migrate.monitors"

Report = Callable[[Event], None]
"""Take one event, at once. Raises ``MailboxFullError`` if the event was not taken."""

NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""What the name of a monitor is like, and each part of a fact's."""

_hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class NotAvailableError(Exception):
    """What a monitor watches is not there on this machine; the message says what, for people.

    ``run`` raises it instead of failing again and again: that is no fault, and the host only looks again now
    and then whether it has come.
    """


class SettingsError(Exception):
    """A monitor can't be used with its settings; the message says which key, and what is expected."""


@runtime_checkable
class Monitor(Protocol):
    """Watch one aspect of connectivity and report its state.

    One object lives as long as the host and remembers what its reports were
    taken. ``run`` is started again on the same object after a failure; it must
    then report what has changed or vanished in the meantime.
    """

    @property
    def name(self) -> str:
        """Return the name, lower case, by which people and logs know this monitor."""
        ...

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Return the facts that this monitor measures."""
        ...

    async def run(self, report: Report) -> None:
        """Report the state now and every change, until cancelled.

        Args:
            report: takes each event. Call it in the event loop's thread only.

        Raises:
            NotAvailableError: this machine lacks what is watched; the host looks again now and then.
            Exception: whatever went wrong; the host starts ``run`` again after a pause.
        """
        ...


@_hookspec
def migrate_monitors(surroundings: Surroundings) -> Iterable[Monitor]:
    """Return the monitors that this plugin offers.

    Called once, before any monitor runs; it neither reads nor waits. A plugin that needs nothing of the
    daemon leaves the argument out.

    Args:
        surroundings: what a monitor may know of the daemon, its own settings included.

    Raises:
        SettingsError: its settings are not what it expects.
    """
    raise NotImplementedError
