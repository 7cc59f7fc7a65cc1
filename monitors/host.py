"""The monitor host: every monitor in its own task, all events in one mailbox."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from monitors.discovery import Discovery, PluginFailure
from monitors.events import Event
from monitors.mailbox import MAILBOX_LIMIT, Mailbox
from monitors.supervisor import MonitorStatus, Supervisor

STOP_LIMIT_S = 2.0
"""How long a cancelled monitor may take to end before it is left behind with a warning."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """What the host has done so far.

    ``waiting`` events are not yet read, ``merged`` ones gave way to a later one of
    the same subject, ``refused`` ones found no room and are reported again.
    """

    monitors: tuple[MonitorStatus, ...]
    failures: tuple[PluginFailure, ...]
    waiting: int
    merged: int
    refused: int


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
        self._failures = discovery.failures
        self._mailbox = Mailbox(mailbox_limit)
        self._supervisors = tuple(
            Supervisor(monitor, self._mailbox.put, clock=clock, sleep=sleep) for monitor in discovery.monitors
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        for supervisor in self._supervisors:
            task = asyncio.create_task(supervisor.run(), name=f"monitor {supervisor.name}")
            task.add_done_callback(self._ended)
            self._tasks.add(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        while events := await self._mailbox.take():
            yield events

    def status(self) -> HostStatus:
        """Return the counters of the host and of every monitor as they are now."""
        return HostStatus(
            monitors=tuple(supervisor.status() for supervisor in self._supervisors),
            failures=self._failures,
            waiting=len(self._mailbox),
            merged=self._mailbox.merged,
            refused=self._mailbox.refused,
        )

    def _ended(self, _task: asyncio.Task[None]) -> None:
        """Let the reader out when a supervisor ends: it never does by itself unless the host is at fault."""
        self._mailbox.close()
