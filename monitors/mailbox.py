"""Events on their way from the monitors to the one who decides.

Rule: a monitor never waits, and the last state of every subject arrives. While
there is room every event is kept. When the mailbox is full only the latest event
of each subject stays, which loses nothing because an event describes a state. If
even that leaves no room the event is refused, loudly: the monitor's ``run`` fails
and, started again later, reports what has not been taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import assert_never

from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, LinkState

MAILBOX_LIMIT = 16_384
"""Events that may wait: about 3 MB, and more links and addresses than a host of containers has."""


class MailboxFullError(Exception):
    """The mailbox is full of events about different subjects; this one was not taken."""


SubjectKey = tuple[str | int, ...]


def subject(event: Event) -> SubjectKey:
    """Return what an event is about; of two events about the same the later one counts.

    A link's name is part of it, since a renamed link is reported as gone under its old name.
    """
    match event:
        case LinkState() | LinkGone():
            return (event.interface, event.index, "")
        case AddressPresent() | AddressGone():
            return (event.interface, event.index, event.address)
        case FactMeasured():
            return ("fact", event.fact, event.interface, event.peer, event.session, event.connection)
        case _:
            assert_never(event)


class Mailbox:
    """A bounded queue of events with one reader. Neither end blocks the other."""

    def __init__(self, limit: int = MAILBOX_LIMIT) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self.merged = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """Take an event, merging older ones of the same subjects if there is no room.

        Raises:
            MailboxFullError: as many subjects as the limit wait already.
        """
        if len(self._events) >= self._limit:
            self._merge()
        if len(self._events) >= self._limit:
            self.refused += 1
            raise MailboxFullError(f"{self._limit} events about different subjects are waiting")
        self._events.append(event)
        self._wake.set()

    async def take(self) -> tuple[Event, ...]:
        """Return all waiting events in the order of their reports; wait for one if there is none.

        An empty result means that the mailbox was closed.
        """
        while not self._events and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        events = tuple(self._events)
        self._events.clear()
        return events

    def close(self) -> None:
        """Let the reader go on: it gets what waits, then nothing."""
        self._closed = True
        self._wake.set()

    def _merge(self) -> None:
        latest: dict[SubjectKey, Event] = {}
        for event in self._events:
            key = subject(event)
            latest.pop(key, None)  # so that the order is that of the last report
            latest[key] = event
        self.merged += len(self._events) - len(latest)
        self._events = deque(latest.values())
