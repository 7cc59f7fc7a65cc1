"""Keep one monitor running, whatever it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from monitors.facts import Fact
from monitors.isolation import BLOCKED_AFTER_S, Apart, Here, Place, StuckError
from monitors.mailbox import Reported
from monitors.metering import Meter
from monitors.origins import Kind, Origin
from monitors.reporting import FloodError, Reporter
from monitors.spec import Monitor, NotAvailableError
from monitors.texts import failure_of, message_of

FIRST_PAUSE_S = 0.1
"""The pause after a failure. It doubles with each further one."""

GOOD_WHILE_S = 60.0
"""A run of this length counts as success: the next failure starts at the first pause again."""

FAILURE_BUDGET = 10
"""Failures in a row after which a monitor is given up for now."""

GIVEN_UP_PAUSE_S = 600.0
"""How often a monitor is tried that has used up its budget."""

LOOK_AGAIN_S = 60.0
"""How often it is looked whether what was not available has come."""

QUIET_AFTER_S = 10.0
"""After so long people are told of a plugin's monitor that it has not reported anything: it may hang."""

_log = logging.getLogger(__name__)


class MonitorState(Enum):
    """What a monitor is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BLOCKED = "blocked"
    PAUSED = "paused after a failure"
    GIVEN_UP = "given up for now"
    NOT_AVAILABLE = "not available"
    SWITCHED_OFF = "switched off"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorStatus:
    """What one monitor is doing and has done so far. Times are the event loop's clock, in seconds.

    Attributes:
        name: The monitor's.
        kind: Who brought it.
        origin: Its module, its distribution with version, or its path.
        state: What it is doing.
        detail: Why it is in that state, for people; empty where there is nothing to say.
        facts: Those that it declares.
        events: How many of its reports were taken.
        failures: How many of its runs failed.
        restarts: How often it was started again after a failure.
        last_error: What went wrong last.
        last_error_at: When that was.
        last_event: What it reported last, in a few words.
        last_event_at: When that was.
        cost_s: Processor time of its steps so far, in seconds.
        longest_step_s: How long the longest of them lasted, in seconds; one in progress counts.
        running_s: Age of the present run, 0 if there is none.
    """

    name: str
    kind: Kind = Kind.BUILT_IN
    origin: str = ""
    state: MonitorState
    detail: str = ""
    facts: tuple[Fact, ...] = ()
    events: int = 0
    failures: int = 0
    restarts: int = 0
    last_error: str | None = None
    last_error_at: float | None = None
    last_event: str | None = None
    last_event_at: float | None = None
    cost_s: float = 0.0
    longest_step_s: float = 0.0
    running_s: float = 0.0


class Budget:
    """How long to wait after each failure, in seconds."""

    def __init__(self) -> None:
        self.in_a_row = 0

    @property
    def used_up(self) -> bool:
        """Return whether there were so many failures in a row that the monitor is hardly tried any more."""
        return self.in_a_row >= FAILURE_BUDGET

    def pause_s(self, lasted_s: float) -> float:
        """Count the failure of a run of ``lasted_s`` seconds and return how long to wait."""
        self.in_a_row = 1 if lasted_s >= GOOD_WHILE_S else self.in_a_row + 1
        return GIVEN_UP_PAUSE_S if self.used_up else FIRST_PAUSE_S * 2.0 ** (self.in_a_row - 1)


class Supervisor:
    """Run a monitor again and again, with growing pauses, and count what happens.

    Args:
        monitor: the monitor.
        origin: where it comes from: only a built-in one runs in the loop of the host.
        deliver: takes its events, in the thread in which it runs.
        clock: the event loop's, in seconds.
        sleep: waits for as many seconds.
    """

    def __init__(
        self,
        monitor: Monitor,
        origin: Origin,
        deliver: Callable[[Reported], None],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._monitor, self._origin, self._facts = monitor, origin, monitor.facts
        self._clock, self._sleep = clock, sleep
        self._name = monitor.name
        self._meter = Meter()
        ours = origin.kind is Kind.BUILT_IN
        self._place: Place = Here(self._meter) if ours else Apart(self._name, self._meter)
        stop = None if ours else self._place.stop
        self._reporter = Reporter(self._name, self._facts, deliver, clock=clock, stop=stop)
        self._budget = Budget()
        self._state = MonitorState.STOPPED
        self._detail = self._missed = ""
        self._started, self._steps_before = 0.0, 0
        self._failures = self._restarts = 0
        self._last_error: str | None = None
        self._last_error_at: float | None = None

    @property
    def name(self) -> str:
        """Return the monitor's name."""
        return self._name

    def status(self) -> MonitorStatus:
        """Return what it does and has done as of now."""
        state, detail = self._present()
        running = self._state is MonitorState.RUNNING
        return MonitorStatus(
            name=self._name,
            kind=self._origin.kind,
            origin=self._origin.where,
            state=state,
            detail=detail,
            facts=self._facts,
            events=self._reporter.events,
            failures=self._failures,
            restarts=self._restarts,
            last_error=self._last_error,
            last_error_at=self._last_error_at,
            last_event=self._reporter.last_event,
            last_event_at=self._reporter.last_event_at,
            cost_s=self._meter.cost_s,
            longest_step_s=max(self._meter.longest_step_s, self._blocked_s()),
            running_s=self._clock() - self._started if running else 0.0,
        )

    async def run(self) -> None:
        """Run the monitor until cancelled."""
        try:
            while True:
                error = await self._attempt()
                if isinstance(error, NotAvailableError):
                    self._miss(error)
                    await self._sleep(LOOK_AGAIN_S)
                else:
                    await self._sleep(self._fail(error))
                    self._restarts += 1
        finally:
            self._state, self._detail = MonitorState.STOPPED, ""
            self._place.close()

    def _present(self) -> tuple[MonitorState, str]:
        """Return the state with the reason for it, looking closer at what runs."""
        if self._state is not MonitorState.RUNNING:
            return self._state, self._detail
        if blocked_s := self._blocked_s():
            return MonitorState.BLOCKED, f"it has held up its event loop for {blocked_s:.0f} s"
        if self._meter.steps == self._steps_before:
            return MonitorState.STARTING, ""
        return MonitorState.RUNNING, self._quiet()

    def _quiet(self) -> str:
        """Return what is to be said of a plugin's monitor that may wait for what never comes, or nothing."""
        waited_s = self._clock() - self._started
        ours = self._origin.kind is Kind.BUILT_IN
        if ours or self._reporter.events or waited_s < QUIET_AFTER_S:
            return ""
        return f"it has reported nothing since it began, {waited_s:.0f} s ago"

    def _blocked_s(self) -> float:
        blocked_s = self._place.blocked_s
        return blocked_s if blocked_s > BLOCKED_AFTER_S else 0.0

    async def _attempt(self) -> BaseException | None:
        """Run the monitor once and return what it raised."""
        self._state, self._detail = MonitorState.RUNNING, ""
        self._started, self._steps_before = self._clock(), self._meter.steps
        error = await self._place.run(self._body)
        return self._reporter.flood or error

    async def _body(self) -> None:
        self._reporter.begin()
        await self._monitor.run(self._reporter)

    def _miss(self, error: NotAvailableError) -> None:
        reason = message_of(error)
        if reason != self._missed:  # once is enough; it is looked for again every minute
            _log.info("monitor `%s` is not available: %s", self._name, reason)
        self._missed = reason
        self._state, self._detail = MonitorState.NOT_AVAILABLE, reason

    def _fail(self, error: BaseException | None) -> float:
        """Count and tell a failure, and return how many seconds to wait before the next try."""
        now = self._clock()
        pause_s = self._budget.pause_s(now - self._started)
        self._failures += 1
        self._last_error, self._last_error_at = _reason(error), now
        self._state = MonitorState.GIVEN_UP if self._budget.used_up else MonitorState.PAUSED
        self._detail = self._last_error
        _log.warning("monitor `%s` failed: %s; next try in %g s", self._name, self._last_error, pause_s)
        _log.debug("monitor `%s` failed here", self._name, exc_info=error)
        return pause_s


def _reason(error: BaseException | None) -> str:
    """Return what went wrong in a run that raised this, or that returned."""
    match error:
        case None:
            return "run() returned, but a monitor runs until it is cancelled"
        case asyncio.CancelledError():
            return "run() cancelled itself"
        case StuckError() | FloodError():
            return message_of(error)
        case _:
            return failure_of(error)
