"""Keep one monitor running, whatever it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from monitors.events import Event, FactMeasured
from monitors.measurements import fault_of
from monitors.spec import Monitor, Report

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
GOOD_WHILE_S = 60.0
"""A run of this length counts as success: the next failure starts at the first pause again."""

_log = logging.getLogger(__name__)


class MonitorState(Enum):
    """What a monitor's task is doing."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused after a failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorStatus:
    """What one monitor has done so far. ``running_s`` is the age of the present run, 0 if there is none."""

    name: str
    state: MonitorState
    events: int
    failures: int
    restarts: int
    last_error: str | None
    running_s: float


class Supervisor:
    """Run a monitor again and again, with exponential pauses, and count what happens."""

    def __init__(
        self,
        monitor: Monitor,
        report: Report,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._monitor = monitor
        self._deliver = report
        self._clock = clock
        self._sleep = sleep
        self._name = monitor.name
        self._state = MonitorState.STOPPED
        self._started = 0.0
        self._events = 0
        self._failures = 0
        self._restarts = 0
        self._last_error: str | None = None

    @property
    def name(self) -> str:
        """Return the monitor's name."""
        return self._name

    def status(self) -> MonitorStatus:
        """Return the counters as they are now."""
        running = self._state is MonitorState.RUNNING
        return MonitorStatus(
            name=self._name,
            state=self._state,
            events=self._events,
            failures=self._failures,
            restarts=self._restarts,
            last_error=self._last_error,
            running_s=self._clock() - self._started if running else 0.0,
        )

    async def run(self) -> None:
        """Run the monitor until cancelled."""
        pause_s = FIRST_PAUSE_S
        try:
            while True:
                lasted_s = await self._attempt()
                if lasted_s >= GOOD_WHILE_S:
                    pause_s = FIRST_PAUSE_S
                self._state = MonitorState.PAUSED
                _log.warning(
                    "monitor `%s` failed: %s; next try in %g s", self._name, self._last_error, pause_s
                )
                await self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                self._restarts += 1
        finally:
            self._state = MonitorState.STOPPED

    async def _attempt(self) -> float:
        """Run the monitor once and return how many seconds it lasted."""
        self._state = MonitorState.RUNNING
        self._started = self._clock()
        try:
            await self._monitor.run(self._report)
            self._last_error = "run() returned, but a monitor runs until it is cancelled"
        except asyncio.CancelledError:
            self._last_error = "run() cancelled itself"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the isolation of a plugin
            self._last_error = f"{type(error).__name__}: {error}"
            _log.debug("monitor `%s` failed here", self._name, exc_info=error)
        if _being_cancelled():  # also when the monitor swallowed it
            raise asyncio.CancelledError
        self._failures += 1
        return self._clock() - self._started

    def _report(self, event: Event) -> None:
        # A plugin has no type checker at run time; what is not an event must not reach the engine.
        if not isinstance(event, Event):
            raise TypeError(f"reported a `{type(event).__name__}`, which is no event of `monitors.events`")
        if isinstance(event, FactMeasured) and (fault := fault_of(event, self._monitor.facts)):
            raise ValueError(fault)
        self._deliver(event)
        self._events += 1


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
