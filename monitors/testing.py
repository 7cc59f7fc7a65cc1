"""A conformance kit for the authors of monitors.

One call in a test says whether a monitor keeps the contract of ``monitors.spec``::

    async def test_contract() -> None:
        await check_monitor(MyMonitor)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from monitors.events import Event, FactMeasured
from monitors.facts import Fact, FactType, is_redefined, own_name
from monitors.mailbox import MailboxFullError
from monitors.measurements import fault_of
from monitors.spec import Monitor

CANCEL_LIMIT_S = 1.0
"""How long a monitor may take to end after it was cancelled."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FACT_NAME = re.compile(rf"({_NAME.pattern}\.)?{_NAME.pattern}")


class ConformanceError(AssertionError):
    """A monitor does not keep the contract; the message says how and what to do."""


class Recorder:
    """A ``report`` that keeps what it was told. ``refuse`` makes it take nothing, as a full mailbox does."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.events: list[Event] = []
        self.calls = 0
        self.faults: list[str] = []
        self._refuse = refuse
        self._changed = asyncio.Event()

    def __call__(self, event: object) -> None:
        """Take an event.

        Raises:
            MailboxFullError: this recorder refuses everything.
        """
        self.calls += 1
        self._changed.set()
        if not isinstance(event, Event):
            self.faults.append(f"it reported a `{type(event).__name__}`; report events of `monitors.events`")
        elif self._refuse:
            raise MailboxFullError("this recorder takes nothing")
        else:
            self.events.append(event)

    async def wait_for(
        self, wanted: Callable[[Event], bool], *, start: int = 0, timeout_s: float = 5.0
    ) -> Event:
        """Return the first event, already recorded or still to come, for which ``wanted`` is true.

        Args:
            wanted: decides about an event.
            start: how many of the recorded events to pass over.
            timeout_s: how long to wait, in seconds.

        Raises:
            TimeoutError: there was none within ``timeout_s`` seconds.
        """
        seen = start
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self.events)
                self._changed.clear()
                await self._changed.wait()


def check_facts(facts: tuple[Fact, ...]) -> None:
    """Check that facts are declared so that a policy can name them.

    Raises:
        ConformanceError: a fact is malformed, or two have one name.
    """
    _expect(isinstance(facts, tuple), "`facts` is a tuple of `Fact`")
    for fact in facts:
        _expect(isinstance(fact, Fact), f"`{fact!r}` is no `Fact`")
        _expect(
            _FACT_NAME.fullmatch(fact.name) is not None,
            f"the fact `{fact.name}` needs a name like `round-trip-time` or `my-monitor.round-trip-time`",
        )
        _expect(
            fact.type is FactType.NUMBER or not fact.unit, f"the fact `{fact.name}` is no number, so no unit"
        )
        _expect(_one_line(fact.summary), f"the summary of the fact `{fact.name}` is one line of text")
    names = [fact.name for fact in facts]
    _expect(len(names) == len(set(names)), f"two facts have the same name: {', '.join(sorted(names))}")
    for fact in facts:
        _expect(not is_redefined(fact), f"the fact `{fact.name}` of the language has other values")


async def check_monitor(make: Callable[[], Monitor], *, run_s: float = 0.2) -> Recorder:
    """Check that a monitor keeps the contract, and return what it reported.

    It is run for ``run_s`` seconds and cancelled, and then run again on the same
    object. If it reports anything by itself, another one made by ``make`` has its
    first report refused and must make it again in its next run.

    Args:
        make: returns a new monitor, such as its class.
        run_s: how long each run lasts, in seconds; long enough for the first report.

    Raises:
        ConformanceError: it doesn't.
        Exception: what ``run`` raised by itself.
    """
    monitor = make()
    _expect(isinstance(monitor, Monitor), "a monitor has `name`, `facts` and `run`")
    _expect(_well_formed(monitor.name), f"`{monitor.name}` is no good name; use one like `my-monitor`")
    check_facts(monitor.facts)
    for fact in monitor.facts:
        wanted = own_name(fact, monitor.name)
        _expect(fact.name == wanted, f"the fact `{fact.name}` is none of the language's: name it `{wanted}`")
    recorder = Recorder()
    for _ in range(2):
        await _run(monitor, recorder, run_s)
    if recorder.events:
        await _check_refusal(make(), run_s)
    return recorder


async def _check_refusal(monitor: Monitor, run_s: float) -> None:
    refusing = Recorder(refuse=True)
    try:
        await _run(monitor, refusing, run_s)
    except MailboxFullError:
        pass
    else:
        _expect(not refusing.calls, "it hid that a report was refused; let `MailboxFullError` through")
    taking = Recorder()
    await _run(monitor, taking, run_s)
    _expect(
        bool(taking.events), "it counts a refused report as made; remember a state after `report` returned"
    )


async def _run(monitor: Monitor, recorder: Recorder, run_s: float) -> None:
    task = asyncio.create_task(monitor.run(recorder))
    await asyncio.wait({task}, timeout=run_s)
    if task.done() and not task.cancelled():
        await task
        raise ConformanceError("run() returned; it runs until it is cancelled")
    _expect(not task.done(), "run() cancelled itself")
    task.cancel()
    await asyncio.wait({task}, timeout=CANCEL_LIMIT_S)
    _expect(task.done(), f"run() did not end within {CANCEL_LIMIT_S:g} s of being cancelled")
    _expect(task.cancelled(), "run() swallowed its cancellation; let `CancelledError` through")
    _expect(not recorder.faults, "; ".join(recorder.faults[:1]))
    for event in recorder.events:
        if isinstance(event, FactMeasured):
            fault = fault_of(event, monitor.facts)
            _expect(not fault, fault)


def _well_formed(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _one_line(text: str) -> bool:
    return bool(text.strip()) and "\n" not in text


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConformanceError(otherwise)
