"""The latest events with their monitors, for those who look on. Nobody who decides reads them here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from monitors.mailbox import Reported

RECENT_LIMIT = 1000
"""Events that are remembered, and that may wait for one who follows."""


class Follower:
    """One who follows. Being slow costs nobody but them: the oldest events are dropped, and counted."""

    def __init__(self, limit: int = RECENT_LIMIT) -> None:
        self._waiting: deque[Reported] = deque(maxlen=limit)
        self._wake = asyncio.Event()
        self._dropped = 0

    def put(self, reported: Iterable[Reported]) -> int:
        """Take events in, and return how many older ones were dropped for them."""
        before, dropped = len(self._waiting), 0
        for each in reported:
            self._waiting.append(each)
            dropped += 1
        dropped += before - len(self._waiting)
        self._dropped += dropped
        self._wake.set()
        return dropped

    async def take(self) -> tuple[tuple[Reported, ...], int]:
        """Return the events that wait, and how many before them were dropped; wait if there is none."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        taken, dropped = tuple(self._waiting), self._dropped
        self._waiting.clear()
        self._dropped = 0
        return taken, dropped


class Tap:
    """Remember the latest events and pass them on to those who follow."""

    def __init__(self) -> None:
        self._recent: deque[Reported] = deque(maxlen=RECENT_LIMIT)
        self._followers: set[Follower] = set()
        self.dropped = 0

    @property
    def recent(self) -> tuple[Reported, ...]:
        """Return the latest events, the oldest first."""
        return tuple(self._recent)

    def put(self, reported: tuple[Reported, ...]) -> None:
        """Take events in, in their order."""
        self._recent.extend(reported)
        for follower in self._followers:
            self.dropped += follower.put(reported)

    @contextmanager
    def follow(self) -> Iterator[Follower]:
        """Let somebody follow from now on."""
        follower = Follower()
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)
