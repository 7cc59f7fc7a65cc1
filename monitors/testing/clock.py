"""Time that passes when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Final

SETTLE_TURNS: Final = 20
"""Turns of the event loop after which what can go on without waiting is taken to have done so."""


async def settle() -> None:
    """Let all tasks go on until they wait: for time, for a change, or for the network."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)


class FakeClock:
    """A clock, and a ``sleep`` that lasts until a test has advanced it so far.

    Give a monitor both in place of ``time.monotonic`` (or ``time.time``) and ``asyncio.sleep``::

        clock = FakeClock()
        monitor = MyMonitor(clock=clock, sleep=clock.sleep)
        ...
        await clock.advance(60.0)

    Args:
        now: what it shows at first, in seconds.

    Attributes:
        slept: What was asked of ``sleep``, in seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Show another time without waking anybody, as a clock does that is set."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by so many seconds."""
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        alarm = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), alarm))
        await alarm

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass, and everybody whose time comes do their work at that time."""
        await settle()  # whoever is about to sleep falls asleep before time passes
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, alarm = heapq.heappop(self._sleepers)
            if not alarm.done():  # its sleeper may have been cancelled
                alarm.set_result(None)
                await settle()
        self._now = end
