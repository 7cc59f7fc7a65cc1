"""Hand every event to everybody who watches, and wait for none of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final
from weakref import WeakSet

from migrated.control.messages import MISSED, EventReport

MAX_UNREAD: Final = 1024
"""Events that wait for one watcher. Beyond it the oldest are dropped, and the watcher is told how many."""


class Broadcast:
    """The events of the daemon, for any number of watchers."""

    def __init__(self) -> None:
        # Whoever stops watching just lets go of the watcher.
        self._watchers: WeakSet[Watcher] = WeakSet()

    def publish(self, event: EventReport, owner: int | None = None) -> None:
        """Hand an event to all watchers that may see it; ``owner`` is the user of the session it is about."""
        for watcher in self._watchers:
            if owner is None or watcher.may_see(owner):
                watcher.put(event)

    def watch(self, may_see: Callable[[int], bool]) -> Watcher:
        """Return the events from now on, without those about sessions of users that ``may_see`` denies."""
        watcher = Watcher(may_see)
        self._watchers.add(watcher)
        return watcher


class Watcher(AsyncIterator[EventReport]):
    """One who watches: iterate over it to get the events."""

    def __init__(self, may_see: Callable[[int], bool]) -> None:
        self.may_see = may_see
        self._unread: deque[EventReport] = deque()
        self._missed = 0
        self._something = asyncio.Event()

    def put(self, event: EventReport) -> None:
        """Add an event, in place of the oldest where there are too many."""
        if len(self._unread) == MAX_UNREAD:
            self._unread.popleft()
            self._missed += 1
        self._unread.append(event)
        self._something.set()

    async def __anext__(self) -> EventReport:
        await self._something.wait()
        if self._missed:
            count, self._missed = self._missed, 0
            return EventReport(time=self._unread[0].time, event=MISSED, fields={"count": count})
        event = self._unread.popleft()
        if not self._unread:
            self._something.clear()
        return event
