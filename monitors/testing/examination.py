"""The checks that a monitor goes through, one by one."""

from __future__ import annotations

import asyncio
import gc
import inspect
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from monitors.events import AddressGone, Event, FactMeasured, LinkGone
from monitors.mailbox import MailboxFullError, SubjectKey, subject
from monitors.measurements import fault_of
from monitors.network_faults import network_fault_of
from monitors.reporting import FLOOD_RATE
from monitors.spec import Monitor, NotAvailableError
from monitors.testing.clock import settle
from monitors.testing.declarations import ConformanceError, check_declaration, expect
from monitors.testing.idleness import watched
from monitors.testing.recorder import Recorder
from monitors.testing.steps import FairMeter, metering
from monitors.testing.trial import Trial
from monitors.wording import in_words

STEP_LIMIT_S: Final = 0.05
"""How long a step of a monitor may hold up its event loop, in seconds."""

RESTLESS_TURNS: Final = 200
"""Turns of the event loop in which a monitor without its source rests at least every other time."""

WARM_UP: Final = 200
SUBJECTS: Final = 1000
"""How many subjects come and go before, and while, memory is measured."""

BYTES_PER_SUBJECT: Final = 64
"""Growth for each subject that is gone, at most. Remembering its name alone takes more."""

_SILENT: Final = "it reported nothing"

Means = Callable[[], object]
"""Does something to a monitor's source; what it returns is awaited if it can be."""


class Check(Enum):
    """What is checked, in this order."""

    CONSTRUCTION = "making one neither reads nor waits"
    DECLARATION = "its name and its facts are well formed"
    RUN = "it runs until it is cancelled"
    CANCELLATION = "it ends when it is cancelled"
    RESTART = "it can be run again"
    REPORTS = "it reports events, and measurements as it declared them"
    REFUSAL = "a report that was refused is made again"
    REPETITION = "it says nothing twice in a row"
    VANISHING = "it survives that its source vanishes"
    STEPS = "it does not block the event loop"
    MEMORY = "it forgets what is gone"


_NEEDED: Final = (Check.CONSTRUCTION, Check.DECLARATION, Check.RUN, Check.CANCELLATION, Check.RESTART)
"""Without these nothing more can be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check; fine if it has neither of the others.

    Attributes:
        check: What was checked.
        fault: What is wrong and what to do; empty if nothing is.
        skipped: Why it could not be checked; empty if it was.
        error: What `run` raised, if that is why.
    """

    check: Check
    fault: str = ""
    skipped: str = ""
    error: BaseException | None = None


class Examination:
    """Put a monitor through all checks for which there are means.

    Args:
        make: returns a new monitor, such as its class.
        run_s: how long each run lasts, in seconds; long enough for the first report.
        vanish: takes the monitor's source away.
        come_back: gives it back.
        churn: has something come that the monitor has not seen yet, and go again; gets a number.

    Attributes:
        recorder: What the monitor reported in its first two runs.
    """

    def __init__(
        self,
        make: Callable[[], Monitor],
        *,
        run_s: float = 0.2,
        vanish: Means | None = None,
        come_back: Means | None = None,
        churn: Callable[[int], object] | None = None,
    ) -> None:
        self.recorder = Recorder()
        self._make = make
        self._run_s = run_s
        self._vanish, self._come_back, self._churn = vanish, come_back, churn
        self._meter = FairMeter()

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield the outcome of each check; once the monitor can't be run, the rest is skipped."""
        why_not = ""
        with metering():
            for check in Check:
                finding = Finding(check=check, skipped=why_not) if why_not else await self._finding(check)
                if finding.error is not None or (finding.fault and check in _NEEDED):
                    why_not = finding.skipped or "it could not be run as far as that"
                yield finding

    async def _finding(self, check: Check) -> Finding:
        checks = {
            Check.CONSTRUCTION: self._construction,
            Check.DECLARATION: self._declaration,
            Check.RUN: self._run,
            Check.CANCELLATION: self._cancellation,
            Check.REPORTS: self._reports,
            Check.RESTART: self._restart,
            Check.REPETITION: self._repetition,
            Check.REFUSAL: self._refusal,
            Check.VANISHING: self._vanishing,
            Check.STEPS: self._steps,
            Check.MEMORY: self._memory,
        }
        try:
            return Finding(check=check, skipped=await checks[check]())
        except ConformanceError as error:
            return Finding(check=check, fault=str(error))
        except NotAvailableError as error:
            return Finding(check=check, skipped=f"not available here: {error}", error=error)
        except Exception as error:  # noqa: BLE001 - the isolation of a plugin
            return Finding(check=check, fault=f"it raised {type(error).__name__}: {error}", error=error)

    # Each returns why it could not check, or nothing.

    async def _construction(self) -> str:
        with watched() as deeds:
            self._monitor = self._make()
        expect(not deeds, f"making one {deeds and deeds[0]}; do that in `run`")
        return ""

    async def _declaration(self) -> str:
        check_declaration(self._monitor)
        return ""

    async def _run(self) -> str:
        self._first = Trial(self._monitor, self.recorder, self._meter)
        await self._first.last(self._run_s)
        return ""

    async def _cancellation(self) -> str:
        await self._first.cancel()
        self._after_first = len(self.recorder.events)
        return ""

    async def _reports(self) -> str:
        expect(not self.recorder.faults, "; ".join(self.recorder.faults[:1]))
        for event in self.recorder.events:
            if isinstance(event, FactMeasured):
                fault = fault_of(event, self._monitor.facts)
            else:
                fault = network_fault_of(event)
            expect(not fault, fault)
        # The first run may begin with very much that there is; the second one has changes to tell.
        number = min(self._after_first, len(self.recorder.events) - self._after_first)
        limit = FLOOD_RATE * max(self._run_s, 1.0)
        flood = f"it reported {number:,} events in {self._run_s:g} s, and more than {FLOOD_RATE:,} a second"
        expect(number <= limit, f"{flood} are a flood; report changes, and round what always changes")
        return "" if self.recorder.events else _SILENT

    async def _restart(self) -> str:
        await self._run_once(self._monitor, self.recorder)
        return ""

    async def _repetition(self) -> str:
        said: dict[SubjectKey, Event] = {}
        for event in map(_timeless, self.recorder.events):
            refreshed = isinstance(event, FactMeasured) and event.lifetime_s is not None
            repeated = said.get(subject(event)) == event and not refreshed
            advice = "remember on the object what `report` has taken"
            expect(not repeated, f"it reported twice in a row that {in_words(event)}; {advice}")
            said[subject(event)] = event
        return "" if self.recorder.events else _SILENT

    async def _refusal(self) -> str:
        if not self.recorder.events:
            return _SILENT
        monitor, refusing, taking = self._make(), Recorder(refuse=True), Recorder()
        try:
            await self._run_once(monitor, refusing)
        except MailboxFullError:
            pass
        else:
            hid = "it hid that a report was refused; let `MailboxFullError` through"
            expect(not refusing.calls, hid)
        await self._run_once(monitor, taking)
        advice = "remember a state after `report` returned"
        expect(bool(taking.events), f"it counts a refused report as made; {advice}")
        return ""

    async def _vanishing(self) -> str:
        if self._vanish is None or self._come_back is None:
            return "a test must say how, with `vanish` and `come_back`"
        monitor, recorder = self._make(), Recorder()
        trial = Trial(monitor, recorder, self._meter)
        await trial.last(self._run_s)
        before = len(recorder.events)
        await _done(self._vanish())
        await trial.wait(self._run_s)
        failure = trial.failure() if trial.ended else None
        if failure is None:
            restless = await self._restless()
            expect(not restless, "without its source it goes on without a pause; sleep between two looks")
        # After any other failure the next run begins at once, and may tell.
        if failure is None or isinstance(failure, NotAvailableError):
            _check_lasting(recorder.events)
        lost = any(map(_is_loss, recorder.events[before:]))
        after = len(recorder.events)
        await _done(self._come_back())
        if trial.ended:
            trial = Trial(monitor, recorder, self._meter)
        await trial.last(self._run_s)
        await trial.cancel()
        told = not lost or len(recorder.events) > after
        expect(told, "its source came back and it said nothing; forget what you reported as lost")
        return ""

    async def _restless(self) -> bool:
        """Return whether the monitor never waits; told by turns, of which a busy machine has few a second."""
        before = self._meter.steps
        for _ in range(RESTLESS_TURNS):
            await asyncio.sleep(0)
        return self._meter.steps - before > RESTLESS_TURNS / 2

    async def _steps(self) -> str:
        longest_s = self._meter.longest_step_s
        limit = f"{STEP_LIMIT_S * 1000:g} ms"
        advice = "use what can be awaited, or `asyncio.to_thread`"
        too_long = f"a step of it took {longest_s * 1000:.0f} ms, more than {limit}; {advice}"
        expect(longest_s <= STEP_LIMIT_S, too_long)
        return ""

    async def _memory(self) -> str:
        if self._churn is None:
            return "a test must say how, with `churn`"
        trial = Trial(self._make(), lambda _: None, FairMeter())
        await trial.last(self._run_s)
        grown = await self._growth(self._churn)
        await trial.last(0.0)
        await trial.cancel()
        much = f"it keeps {grown / SUBJECTS:.0f} bytes of each subject that is gone; forget those"
        expect(grown <= BYTES_PER_SUBJECT * SUBJECTS, much)
        return ""

    async def _growth(self, churn: Callable[[int], object]) -> int:
        """Return by how many bytes memory grows while subjects come and go."""
        ours = not tracemalloc.is_tracing()
        if ours:
            tracemalloc.start()
        try:
            before = 0
            for number in range(WARM_UP + SUBJECTS):
                if number == WARM_UP:
                    before = _used()
                await _done(churn(number))
                await settle()
            return _used() - before
        finally:
            if ours:
                tracemalloc.stop()

    async def _run_once(self, monitor: Monitor, recorder: Recorder) -> None:
        trial = Trial(monitor, recorder, self._meter)
        await trial.last(self._run_s)
        await trial.cancel()


def _check_lasting(events: Iterable[Event]) -> None:
    """Check that nothing which was measured holds for ever.

    Raises:
        ConformanceError: something does.
    """
    latest = {subject(event): event for event in events if isinstance(event, FactMeasured)}
    for event in latest.values():
        lasting = event.value is not None and event.lifetime_s is None
        advice = "report `None`, or give it a `lifetime_s`"
        expect(not lasting, f"its source vanished and {in_words(event)} for ever; {advice}")


def _is_loss(event: Event) -> bool:
    if isinstance(event, FactMeasured):
        return event.value is None
    return isinstance(event, LinkGone | AddressGone)


def _timeless(event: Event) -> Event:
    return replace(event, measured_at=None) if isinstance(event, FactMeasured) else event


def _used() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def _done(outcome: object) -> None:
    if inspect.isawaitable(outcome):
        await outcome
