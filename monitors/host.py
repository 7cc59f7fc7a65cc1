"""The monitor host: every monitor on its own, all events in one mailbox.

Built-in monitors are tasks in the host's event loop, those of others have threads of their own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from monitors.discovery import Discovery, PluginFailure
from monitors.events import Event
from monitors.isolation import quick_turns
from monitors.mailbox import MAILBOX_LIMIT, Mailbox, Reported
from monitors.origins import Kind, Origin
from monitors.spec import Monitor
from monitors.supervisor import MonitorState, MonitorStatus, Supervisor
from monitors.tap import Follower, Tap

STOP_LIMIT_S = 2.0
"""How long a cancelled monitor may take to end before it is left behind with a warning."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """What the host has done so far.

    Attributes:
        monitors: Those that run or would if they could, then those that are switched off.
        failures: Plugins that can't be used.
        waiting: Events that are not yet read.
        merged: Events that gave way to a later one of the same subject.
        refused: Events that found no room; their monitors report them again.
        dropped: Events that some who follow were too slow for.
    """

    monitors: tuple[MonitorStatus, ...]
    failures: tuple[PluginFailure, ...]
    waiting: int
    merged: int
    refused: int
    dropped: int


class MonitorHost:
    """Run monitors between ``async with`` and read their events with ``async for``.

    Each turn of the loop gets all events that wait, in order, so that one change
    which comes as several events leads to one decision::

        async with MonitorHost(discover()) as host:
            async for events in host:
                ...
    """

    def __init__(
        self,
        discovery: Discovery,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        mailbox_limit: int = MAILBOX_LIMIT,
    ) -> None:
        self._discovery = discovery
        self._clock, self._sleep = clock, sleep
        self._mailbox = Mailbox(mailbox_limit)
        self._tap = Tap()
        self._supervisors = tuple(map(self._supervised, discovery.monitors))
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = ExitStack()

    async def __aenter__(self) -> Self:
        if any(status.kind is not Kind.BUILT_IN for status in self.status().monitors):
            self._turns.enter_context(quick_turns())
        for supervisor in self._supervisors:
            task = asyncio.create_task(supervisor.run(), name=f"monitor {supervisor.name}")
            task.add_done_callback(self._ended)
            self._tasks.add(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.close()
        self._mailbox.close()
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            return
        done, stuck = await asyncio.wait(self._tasks, timeout=STOP_LIMIT_S)
        for task in stuck:
            _log.warning("%s does not end although it was cancelled", task.get_name())
        for task in done:
            if not task.cancelled():
                task.result()  # a fault of the host itself, which must not be lost

    async def __aiter__(self) -> AsyncIterator[tuple[Event, ...]]:
        while reported := await self._mailbox.take():
            self._tap.put(reported)
            yield tuple(each.event for each in reported)

    @property
    def recent(self) -> tuple[Reported, ...]:
        """Return the latest events that were read, the oldest first, with monitor and time."""
        return self._tap.recent

    def follow(self) -> AbstractContextManager[Follower]:
        """Let somebody follow what is read from now on, as long as the context lasts.

        Each batch comes with the number of events before it that were dropped::

            with host.follow() as follower:
                while True:
                    reported, dropped = await follower.take()
        """
        return self._tap.follow()

    def status(self) -> HostStatus:
        """Return the counters of the host and of every monitor as they are now."""
        return HostStatus(
            monitors=(*(supervisor.status() for supervisor in self._supervisors), *self._switched_off()),
            failures=self._discovery.failures,
            waiting=len(self._mailbox),
            merged=self._mailbox.merged,
            refused=self._mailbox.refused,
            dropped=self._tap.dropped,
        )

    def _supervised(self, monitor: Monitor) -> Supervisor:
        origin = self._discovery.origins.get(monitor.name, Origin())
        ours = origin.kind is Kind.BUILT_IN
        deliver = self._mailbox.put if ours else self._mailbox.lane().put
        return Supervisor(monitor, origin, deliver, clock=self._clock, sleep=self._sleep)

    def _switched_off(self) -> Iterator[MonitorStatus]:
        for name, origin in self._discovery.switched_off.items():
            yield MonitorStatus(
                name=name, kind=origin.kind, origin=origin.where, state=MonitorState.SWITCHED_OFF
            )

    def _ended(self, _task: asyncio.Task[None]) -> None:
        """Let the reader out when a supervisor ends: it never does by itself unless the host is at fault."""
        self._mailbox.close()
