"""The sleep monitor: whether the host is about to sleep, and whether it has just woken up.

Rules:

* logind announces a sleep, where it runs. Without it `asleep` is not known.
* A sleep shows afterwards, everywhere: CLOCK_BOOTTIME went on and CLOCK_MONOTONIC did not.
* A virtual machine that was paused, or brought back from a picture of itself, has clocks that all stood
  still, until something sets the time: the local time that jumps forwards by more than `JUMP_S` counts as
  waking up, too. A clock that was wrong and is set right looks the same. That is taken for a wake on purpose:
  to hold the network for new when it is not costs little, not to look costs sessions their time-outs.
* The clocks are read once a second. A timer that the kernel cancels when the time is set
  (TFD_TIMER_CANCEL_ON_SET) would save that, but Python has none before 3.13, and a look takes microseconds.
* A process that was stopped or got no processor has slept, the host has not: that says nothing.

Source: clock_gettime(2), time_namespaces(7).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from monitors.events import FactMeasured
from monitors.facts import ASLEEP, WOKEN, Fact
from monitors.logind import sleep_announcements
from monitors.services import follow
from monitors.settings import read
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import Surroundings
from monitors.together import together

WOKEN_S = 30.0
"""How long the host counts as woken up."""

SAME_WAKE_S = 5.0
"""logind and the clocks tell of one wake each in its own time, this far apart at most."""

ASLEEP_S = 120.0
"""After so long awake an announced sleep is not known any more."""

SLEPT_S = 1.0
JUMP_S = 5.0
"""By how many seconds the clocks must have come apart between two readings."""

_LIFETIMES_S = {ASLEEP.name: ASLEEP_S, WOKEN.name: WOKEN_S + SAME_WAKE_S}

LOOK_S = 1.0
"""Seconds between two readings of the clocks."""

HELD_UP_S = 0.01
"""The clocks are read one after the other: a reading that takes longer than this says nothing."""


class SleepSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[monitors.sleep]``.

    Attributes:
        delay: For how many seconds a sleep is put off so that policies can act on it; 0 for not at all.
    """

    delay: Annotated[float, Meta(ge=0, le=5)] = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The kernel's clocks at one moment, in seconds."""

    monotonic: float
    boottime: float
    realtime: float


def read_clocks() -> Clocks | None:
    """Return what the clocks say, or ``None`` if this process was held up in between."""
    clocks = Clocks(
        monotonic=time.clock_gettime(time.CLOCK_MONOTONIC),
        boottime=time.clock_gettime(time.CLOCK_BOOTTIME),
        realtime=time.clock_gettime(time.CLOCK_REALTIME),
    )
    took_s = time.clock_gettime(time.CLOCK_MONOTONIC) - clocks.monotonic
    return clocks if took_s <= HELD_UP_S else None


def has_slept(before: Clocks, after: Clocks) -> bool:
    """Return whether the host must have slept between two readings."""
    awake_s = after.monotonic - before.monotonic
    return (
        after.boottime - before.boottime - awake_s > SLEPT_S
        or after.realtime - before.realtime - awake_s > JUMP_S
    )


class SleepTracker:
    """What is known of the host's sleep, and what of it was reported. Time is a parameter, in seconds."""

    def __init__(self) -> None:
        self._asleep: bool | None = None
        self._woken_at: float | None = None
        self._clocks: Clocks | None = None
        self._reported: dict[str, tuple[bool | None, float | None]] = {}

    def announce(self, asleep: bool | None, now: float) -> None:
        """Take logind's word; ``None`` if there is none any more."""
        if asleep:
            self._woken_at = None
        elif self._asleep and asleep is not None:
            self._wake(now)
        self._asleep = asleep

    def look(self, clocks: Clocks, now: float) -> None:
        """Take in a reading of the clocks."""
        if self._clocks is not None and has_slept(self._clocks, clocks):
            self._wake(now)
            if self._asleep:
                self._asleep = False
        self._clocks = clocks

    def events(self, now: float) -> Generator[FactMeasured, None, None]:
        """Yield what has changed since the last report; the caller comes back when it was reported."""
        if self._woken_at is not None and now >= self._woken_at + WOKEN_S:
            self._woken_at = None
        wanted: dict[str, tuple[bool | None, float | None]] = {
            WOKEN.name: (self._woken_at is not None, self._woken_at)
        }
        if self._asleep is not None or ASLEEP.name in self._reported:
            wanted[ASLEEP.name] = (self._asleep, None)
        for fact, (value, since) in wanted.items():
            if self._reported.get(fact) != (value, since):
                yield FactMeasured(fact=fact, value=value, lifetime_s=_LIFETIMES_S[fact] if value else None)
                self._reported[fact] = (value, since)

    def _wake(self, now: float) -> None:
        if self._woken_at is None or now > self._woken_at + SAME_WAKE_S:
            self._woken_at = now


class SleepMonitor:
    """Report when the host is about to sleep, and when it has woken up.

    Args:
        settings: what the configuration says.
        announcements: what logind says, as `sleep_announcements` yields it.
        clocks: reads the clocks; ``None`` if that can't be relied on.
        pause: waits for as many seconds.
    """

    name = "sleep"
    facts: tuple[Fact, ...] = (ASLEEP, WOKEN)

    def __init__(
        self,
        settings: SleepSettings | None = None,
        announcements: Callable[[float], AsyncGenerator[bool | None, None]] = sleep_announcements,
        clocks: Callable[[], Clocks | None] = read_clocks,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._announcements = partial(announcements, (settings or SleepSettings()).delay)
        self._clocks = clocks
        self._pause = pause
        self._tracker = SleepTracker()

    async def run(self, report: Report) -> None:
        """Report what is known now, then every change, until cancelled.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        take = partial(self._take, report)
        await together(follow(self._announcements, take, lambda _: take(None)), self._watch_clocks(report))

    async def _watch_clocks(self, report: Report) -> None:
        loop = asyncio.get_running_loop()
        while True:
            clocks = self._clocks()
            if clocks is not None:
                self._tracker.look(clocks, loop.time())
            self._tell(report)
            await self._pause(LOOK_S)

    def _take(self, report: Report, asleep: bool | None) -> None:
        self._tracker.announce(asleep, asyncio.get_running_loop().time())
        self._tell(report)

    def _tell(self, report: Report) -> None:
        for event in self._tracker.events(asyncio.get_running_loop().time()):
            report(event)


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the sleep monitor."""
    return (SleepMonitor(read(surroundings.settings(SleepMonitor.name), SleepSettings)),)
