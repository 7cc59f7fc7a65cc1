"""Events on their way from the monitors to the one who decides.

Monitors in the reader's own thread share one queue, so that what they report is read in that order. Each
monitor in a thread of its own has a `Lane`: others can neither be kept waiting nor be crowded out by it.

Rule: a monitor never waits, and the last state of every subject arrives. While
there is room every event is kept. When the mailbox is full only the latest event
of each subject stays, which loses nothing because an event describes a state. If
even that leaves no room the event is refused, loudly: the monitor's ``run`` fails
and, started again later, reports what has not been taken.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, assert_never

from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, LinkState

MAILBOX_LIMIT = 16_384
"""Events that may wait: about 3 MB, and more links and addresses than a host of containers has."""


TURN_LIMIT = 512
"""Events that the reader gets of one lane at a time, so that a flood is taken in by small portions."""


class MailboxFullError(Exception):
    """The mailbox is full of events about different subjects; this one was not taken."""


class Reported(NamedTuple):
    """An event, the name of the monitor that reported it, and when (event loop's clock, in seconds)."""

    event: Event
    monitor: str
    at: float


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


class Queue:
    """Events in the order of their reports, bounded; nothing of it waits."""

    def __init__(self, limit: int = MAILBOX_LIMIT) -> None:
        self._limit = limit
        self._waiting: deque[Reported] = deque()
        self.merged = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Return whether there is no room for another event."""
        return len(self._waiting) >= self._limit

    def put(self, reported: Reported) -> None:
        """Take an event, merging older ones of the same subjects if there is no room.

        Raises:
            MailboxFullError: as many subjects as the limit wait already.
        """
        if self.full:
            self._merge()
        if self.full:
            self.refused += 1
            raise MailboxFullError(f"{self._limit} events about different subjects are waiting")
        self._waiting.append(reported)

    def take(self, most: int | None = None) -> tuple[Reported, ...]:
        """Return what waits, all of it or the ``most`` oldest."""
        count = len(self._waiting) if most is None else min(most, len(self._waiting))
        return tuple([self._waiting.popleft() for _ in range(count)])  # more may be appended meanwhile

    def _merge(self) -> None:
        latest: dict[SubjectKey, Reported] = {}
        for reported in self._waiting:
            key = subject(reported.event)
            latest.pop(key, None)  # so that the order is that of the last report
            latest[key] = reported
        self.merged += len(self._waiting) - len(latest)
        self._waiting = deque(latest.values())


class Lane:
    """The queue between one thread that reports and the one that reads.

    Neither waits for the other: a deque can be appended to and taken from at once, and the lock is there only
    for the time in which events are merged.

    Args:
        wake: lets the reader know; called once, from the reporting thread, until the reader took everything.
        limit: how many events may wait.
    """

    def __init__(self, wake: Callable[[], object], limit: int = MAILBOX_LIMIT) -> None:
        self._wake = wake
        self._queue = Queue(limit)
        self._lock = threading.Lock()
        self._woken = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def merged(self) -> int:
        """Return how many events gave way to a later one of the same subject."""
        return self._queue.merged

    @property
    def refused(self) -> int:
        """Return how many events found no room."""
        return self._queue.refused

    def put(self, reported: Reported) -> None:
        """Take an event, from the reporting thread.

        Raises:
            MailboxFullError: as many subjects as the limit wait already.
        """
        try:
            if self._queue.full:
                with self._lock:
                    self._queue.put(reported)
            else:
                self._queue.put(reported)  # this thread alone puts, so there is still room
        finally:
            if not self._woken:  # the reader may have come while events were merged
                self._woken = True
                try:
                    self._wake()
                except BaseException:  # a plugin that never rests was interrupted here
                    self._wake()
                    raise

    def take(self) -> tuple[Reported, ...]:
        """Return some of the oldest events, in the reader's thread, unless they are being merged just now.

        Whoever comes for them again while any wait gets them all.
        """
        self._woken = False  # before it looks, so that what comes afterwards wakes it
        if not self._lock.acquire(blocking=False):
            return ()  # merging takes long enough to be noticed, and ends with a report
        try:
            return self._queue.take(TURN_LIMIT)
        finally:
            self._lock.release()


class Mailbox:
    """All events that wait for their one reader: a queue for its own thread, and lanes from others.

    Args:
        limit: how many events may wait in the queue, and in each lane.
    """

    def __init__(self, limit: int = MAILBOX_LIMIT) -> None:
        self._limit = limit
        self._queue = Queue(limit)
        self._lanes: list[Lane] = []
        self._wake = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return sum(map(len, self._sources()))

    @property
    def merged(self) -> int:
        """Return how many events gave way to a later one of the same subject."""
        return sum(source.merged for source in self._sources())

    @property
    def refused(self) -> int:
        """Return how many events found no room."""
        return sum(source.refused for source in self._sources())

    def lane(self) -> Lane:
        """Return a new way in from another thread; call it in the reader's."""
        loop = asyncio.get_running_loop()
        lane = Lane(lambda: loop.call_soon_threadsafe(self._wake.set), self._limit)
        self._lanes.append(lane)
        return lane

    def put(self, reported: Reported) -> None:
        """Take an event in the reader's own thread.

        Raises:
            MailboxFullError: as many subjects as the limit wait already.
        """
        self._queue.put(reported)
        self._wake.set()

    async def take(self) -> tuple[Reported, ...]:
        """Return what waits, each monitor's events in the order of their reports; wait if there is nothing.

        Others run between two calls even if something always waits. An empty result means that the mailbox
        was closed.
        """
        if any(map(len, self._lanes)):
            await asyncio.sleep(0)
        while not (taken := self._take()) and not self._closed:
            await self._wake.wait()
        return taken

    def close(self) -> None:
        """Let the reader go on: it gets what waits, then nothing."""
        self._closed = True
        self._wake.set()

    def _take(self) -> tuple[Reported, ...]:
        self._wake.clear()  # what is put from now on sets it again, if from another thread in the next turn
        return sum((lane.take() for lane in self._lanes), self._queue.take())

    def _sources(self) -> Iterable[Queue | Lane]:
        return (self._queue, *self._lanes)
