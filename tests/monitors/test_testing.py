"""The conformance kit must catch every kind of bad monitor, and pass a good one."""

from __future__ import annotations

import asyncio
import gc
import importlib
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitors.events import FactMeasured
from monitors.facts import ADDRESSES, CARRIER, METERED, WIFI_SIGNAL, Fact
from monitors.mailbox import MailboxFullError
from monitors.reporting import FLOOD_RATE
from monitors.spec import NotAvailableError, Report
from monitors.testing import (
    Check,
    ConformanceError,
    Examination,
    Finding,
    Recorder,
    check_facts,
    check_monitor,
)
from monitors.testing.examination import STEP_LIMIT_S
from monitors.testing.steps import FairMeter
from tests.monitors.samples import cut, link

METERED_WLAN = FactMeasured(fact="metered", value=True, interface="wlan0")


class Good:
    """Report one link, once."""

    facts: tuple[Fact, ...] = (CARRIER,)

    def __init__(self, name: str = "good") -> None:
        self.name = name
        self._reported = False

    async def run(self, report: Report) -> None:
        if not self._reported:
            report(link())
            self._reported = True
        await asyncio.Event().wait()


class Returns(Good):
    async def run(self, report: Report) -> None:
        report(link())


class CancelsItself(Good):
    async def run(self, report: Report) -> None:
        raise asyncio.CancelledError


class Swallows(Good):
    async def run(self, report: Report) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return


class ReportsText(Good):
    async def run(self, report: Any) -> None:
        report("eth0 is down")
        await asyncio.Event().wait()


class RemembersTooEarly(Good):
    async def run(self, report: Report) -> None:
        if not self._reported:
            self._reported = True
            report(link())
        await asyncio.Event().wait()


class HidesRefusal(Good):
    async def run(self, report: Report) -> None:
        with suppress(MailboxFullError):
            report(link())
        await asyncio.Event().wait()


class Measures(Good):
    """Report whether a link is metered, if it is asked to be conformant."""

    facts = (METERED,)

    def __init__(self, event: FactMeasured) -> None:
        super().__init__()
        self._event = event

    async def run(self, report: Report) -> None:
        if not self._reported:
            report(self._event)
            self._reported = True
        await asyncio.Event().wait()


def test_a_measurement_that_is_declared_passes() -> None:
    event = FactMeasured(fact="metered", value=True, interface="wlan0")
    recorder = asyncio.run(check_monitor(lambda: Measures(event), run_s=0.01))
    assert recorder.events == [event]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (FactMeasured(fact="rtt", value=0.1, interface="wlan0", peer="10.0.0.1"), "does not declare"),
        (FactMeasured(fact="metered", value="yes", interface="wlan0"), "`True` or `False`"),
        (FactMeasured(fact="metered", value=True), "a fact about a link needs `interface`"),
    ],
)
def test_a_measurement_that_is_not_as_declared_is_caught(event: FactMeasured, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        asyncio.run(check_monitor(lambda: Measures(event), run_s=0.01))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Returns, r"run\(\) returned"),
        (CancelsItself, r"run\(\) cancelled itself"),
        (Swallows, "swallowed its cancellation"),
        (ReportsText, "it reported a `str`"),
        (RemembersTooEarly, "remember a state after `report` returned"),
        (HidesRefusal, "let `MailboxFullError` through"),
        (lambda: Good("My Monitor"), "`My Monitor` is no good name"),
        (object, "a monitor has `name`, `facts` and `run`"),
    ],
)
def test_bad_monitors_are_caught(bad: Any, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        asyncio.run(check_monitor(bad, run_s=0.01))


class SaysMuch(Measures):
    """Report so many values in each run, of which ``anew`` also when it is started again."""

    def __init__(self, number: int, *, anew: int) -> None:
        super().__init__(METERED_WLAN)
        self._numbers = [number, *[anew] * 10]

    async def run(self, report: Report) -> None:
        for number in range(self._numbers.pop(0)):
            report(replace(METERED_WLAN, value=number % 2 == 0))
        await asyncio.Event().wait()


def test_a_flood_is_caught_and_a_long_beginning_is_none() -> None:
    asyncio.run(check_monitor(lambda: SaysMuch(FLOOD_RATE + 100, anew=3), run_s=0.05))
    with pytest.raises(ConformanceError, match=r"1,100 events in 0\.05 s, and more than 1,000 a second are"):
        asyncio.run(check_monitor(lambda: SaysMuch(FLOOD_RATE + 100, anew=FLOOD_RATE + 100), run_s=0.05))


def test_what_a_monitor_raises_comes_through() -> None:
    class Fails(Good):
        async def run(self, report: Report) -> None:
            raise OSError("no such device")

    with pytest.raises(OSError, match="no such device"):
        asyncio.run(check_monitor(Fails, run_s=0.01))


def test_a_monitor_that_does_not_end_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitors.testing.trial.CANCEL_LIMIT_S", 0.01)

    class Stubborn(Good):
        async def run(self, report: Report) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.Event().wait()

    with pytest.raises(ConformanceError, match=r"did not end within 0\.01 s"):
        asyncio.run(check_monitor(Stubborn, run_s=0.01))


def test_a_good_monitor_passes() -> None:
    recorder = asyncio.run(check_monitor(Good, run_s=0.01))
    assert recorder.events == [link()]


class IsHeldUp(Good):
    """Be in a process that is not let run for longer than the whole run shall last."""

    async def run(self, report: Report) -> None:
        asyncio.get_running_loop().call_soon(time.sleep, 0.2)
        for _ in range(3):
            await asyncio.sleep(0.001)
        await super().run(report)


def test_a_run_on_a_busy_machine_is_waited_for_all_the_same() -> None:
    recorder = asyncio.run(check_monitor(IsHeldUp, run_s=0.1))
    assert recorder.events == [link()]


class MeetsGarbage(Good):
    """Make enough of it that it would be looked for, which somebody's steps would have to bear."""

    async def run(self, report: Report) -> None:
        self.looked: list[str] = []
        gc.callbacks.append(lambda phase, _: self.looked.append(phase))
        kept = [[number] for number in range(10 * gc.get_threshold()[0])]
        gc.callbacks.pop()
        assert not self.looked, len(kept)
        await super().run(report)


def test_no_garbage_is_looked_for_in_its_steps() -> None:
    asyncio.run(check_monitor(MeetsGarbage, run_s=0.01))
    assert gc.isenabled()


class ReadsWhenMade(Good):
    def __init__(self) -> None:
        super().__init__()
        Path("/proc/self/stat").read_text()


class AsksWhenMade(Good):
    def __init__(self) -> None:
        super().__init__()
        socket.socket().close()


class ImportsWhenMade(Good):
    def __init__(self) -> None:
        super().__init__()
        sys.modules.pop("this_is_never_imported", None)
        importlib.invalidate_caches()
        with suppress(ImportError):
            importlib.import_module("this_is_never_imported")


class Blocks(Good):
    async def run(self, report: Report) -> None:
        await asyncio.sleep(0)
        time.sleep(STEP_LIMIT_S * 1.5)  # noqa: ASYNC251 - this is what must be caught
        await super().run(report)


class BlocksInATask(Good):
    async def run(self, report: Report) -> None:
        task = asyncio.create_task(Blocks().run(lambda _: None))
        try:
            await task
        finally:
            task.cancel()


class Repeats(Good):
    async def run(self, report: Report) -> None:
        report(link())
        await asyncio.Event().wait()


class FailsTheSecondTime(Good):
    async def run(self, report: Report) -> None:
        if self._reported:
            raise RuntimeError("there is a connection already")
        await super().run(report)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (ReadsWhenMade, "making one opened a file `/proc/self/stat`; do that in `run`"),
        (AsksWhenMade, "making one made a socket; do that in `run`"),
        (Blocks, r"a step of it took \d+ ms, more than 50 ms"),
        (BlocksInATask, r"a step of it took \d+ ms, more than 50 ms"),
        (Repeats, "twice in a row that eth0 is up; remember on the object"),
    ],
)
def test_what_harms_others_is_caught(bad: Any, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        asyncio.run(check_monitor(bad, run_s=0.1))


class Kernel:
    """Says for how many seconds threads of this process had no processor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for thread in range(6):
            (folder / str(thread)).mkdir()
        self.starve(0.0)

    def starve(self, seconds: float, threads: int = 6) -> None:
        for thread in range(threads):
            (self.folder / str(thread) / "schedstat").write_text(f"1 {seconds * 1e9:.0f} 1\n")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr("monitors.testing.steps._THREADS", tmp_path)
    return Kernel(tmp_path)


def test_a_step_is_not_excused_by_many_threads_that_wait_at_the_same_time(kernel: Kernel) -> None:
    meter = FairMeter()
    with meter.step():
        kernel.starve(STEP_LIMIT_S)
        time.sleep(2 * STEP_LIMIT_S)
    assert meter.longest_step_s >= STEP_LIMIT_S


def test_a_step_is_not_excused_for_what_it_computed(kernel: Kernel) -> None:
    meter, end = FairMeter(), time.thread_time() + STEP_LIMIT_S
    with meter.step():
        kernel.starve(60.0)
        while time.thread_time() < end:
            pass
    assert meter.longest_step_s >= STEP_LIMIT_S * 0.9


def test_a_step_is_excused_while_one_thread_has_no_processor(kernel: Kernel) -> None:
    meter = FairMeter()
    with meter.step():
        kernel.starve(60.0, threads=1)
        time.sleep(2 * STEP_LIMIT_S)
    assert meter.longest_step_s <= STEP_LIMIT_S


def test_a_monitor_may_import_what_it_needs_when_it_is_made() -> None:
    asyncio.run(check_monitor(ImportsWhenMade, run_s=0.01))


def test_a_monitor_that_can_not_be_run_again_is_caught() -> None:
    with pytest.raises(RuntimeError, match="there is a connection already"):
        asyncio.run(check_monitor(FailsTheSecondTime, run_s=0.01))


def test_what_is_not_there_is_no_fault() -> None:
    class Lacks(Good):
        async def run(self, report: Report) -> None:
            raise NotAvailableError("there is no modem")

    with pytest.raises(NotAvailableError, match="there is no modem"):
        asyncio.run(check_monitor(Lacks, run_s=0.01))

    findings = asyncio.run(examined(Examination(Lacks, run_s=0.01)))
    assert [finding.fault for finding in findings.values()] == [""] * len(Check)
    assert findings[Check.DECLARATION].skipped == ""
    assert findings[Check.RUN].skipped == "not available here: there is no modem"
    assert findings[Check.RESTART].skipped == "not available here: there is no modem"


def test_a_value_that_would_expire_may_be_repeated() -> None:
    class Refreshes(Measures):
        async def run(self, report: Report) -> None:
            while True:
                report(FactMeasured(fact="metered", value=True, interface="wlan0", lifetime_s=1.0))
                await asyncio.sleep(0.001)

    asyncio.run(check_monitor(lambda: Refreshes(METERED_WLAN), run_s=0.01))


async def examined(examination: Examination) -> dict[Check, Finding]:
    return {finding.check: finding async for finding in examination.findings()}


def test_every_check_has_an_outcome() -> None:
    findings = asyncio.run(examined(Examination(Repeats, run_s=0.01)))
    assert list(findings) == list(Check)
    assert [check for check, finding in findings.items() if finding.fault] == [Check.REPETITION]
    skipped = [check for check, finding in findings.items() if finding.skipped]
    assert skipped == [Check.VANISHING, Check.MEMORY]


def test_after_a_failure_the_rest_is_skipped() -> None:
    findings = asyncio.run(examined(Examination(Returns, run_s=0.01)))
    assert "run() returned" in findings[Check.RUN].fault
    assert findings[Check.MEMORY].skipped == "it could not be run as far as that"


class Source:
    """A sensor that a test unplugs."""

    def __init__(self) -> None:
        self.there = True
        self.changed = asyncio.Event()

    def vanish(self) -> None:
        self.there = False
        self._tell()

    def come_back(self) -> None:
        self.there = True
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Sensing(Good):
    """Say whether a link is metered while the sensor is there. ``lost`` is called when it is not."""

    facts = (METERED,)

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.said: FactMeasured | None = None

    async def run(self, report: Report) -> None:
        while True:
            if self.source.there:
                self.say(report, METERED_WLAN)
                await self.source.changed.wait()
            else:
                await self.lost(report)

    def say(self, report: Report, event: FactMeasured) -> None:
        if event != self.said:
            report(event)
            self.said = event

    async def lost(self, report: Report) -> None:
        self.say(report, replace(METERED_WLAN, value=None))
        await self.source.changed.wait()


class SaysNothing(Sensing):
    async def lost(self, report: Report) -> None:
        await self.source.changed.wait()


class NeverRests(Sensing):
    async def lost(self, report: Report) -> None:
        await asyncio.sleep(0)


class GivesUp(Sensing):
    async def lost(self, report: Report) -> None:
        self.say(report, replace(METERED_WLAN, value=None))
        raise NotAvailableError("there is no sensor")


class GivesUpInSilence(Sensing):
    async def lost(self, report: Report) -> None:
        raise NotAvailableError("there is no sensor")


class CancelsWithIt(Sensing):
    async def lost(self, report: Report) -> None:
        raise asyncio.CancelledError


class RemembersWhatIsLost(Sensing):
    async def lost(self, report: Report) -> None:
        report(replace(METERED_WLAN, value=None))
        await self.source.changed.wait()


class Breaks(Sensing):
    async def lost(self, report: Report) -> None:
        self.source = Source()
        self.source.there = False
        raise OSError("unplugged")


async def checked(make: Callable[[], Sensing], source: Source, run_s: float) -> None:
    await check_monitor(make, run_s=run_s, vanish=source.vanish, come_back=source.come_back)


@pytest.mark.parametrize("good", [Sensing, GivesUp])
def test_a_source_may_vanish(good: Callable[[Source], Sensing]) -> None:
    source = Source()
    asyncio.run(
        check_monitor(lambda: good(source), run_s=0.02, vanish=source.vanish, come_back=source.come_back)
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (SaysNothing, "its source vanished and metered wlan0 = yes for ever; report `None`"),
        (GivesUpInSilence, "its source vanished and metered wlan0 = yes for ever; report `None`"),
        (NeverRests, "goes on without a pause"),
        (CancelsWithIt, "cancelled itself when its source vanished"),
        (RemembersWhatIsLost, "its source came back and it said nothing"),
        (Breaks, "unplugged"),
    ],
)
def test_who_does_not_survive_that_is_caught(bad: Callable[[Source], Sensing], message: str) -> None:
    source = Source()
    with pytest.raises((ConformanceError, OSError), match=message):
        asyncio.run(
            check_monitor(lambda: bad(source), run_s=0.05, vanish=source.vanish, come_back=source.come_back)
        )


class Visitors:
    """Wi-Fi stations that come and go."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[str] = asyncio.Queue()

    def visit(self, number: int) -> None:
        self.news.put_nowait(f"wlan{number}")


class Counts(Good):
    facts = (METERED,)

    def __init__(self, visitors: Visitors, *, forgetful: bool) -> None:
        super().__init__()
        self._visitors = visitors
        self._forgetful = forgetful
        self._seen: dict[str, bool] = {}

    async def run(self, report: Report) -> None:
        while True:
            name = await self._visitors.news.get()
            report(FactMeasured(fact="metered", value=True, interface=name))
            self._seen[name] = True
            report(FactMeasured(fact="metered", value=None, interface=name))
            if self._forgetful:
                del self._seen[name]


def test_what_is_gone_must_be_forgotten() -> None:
    async def check(*, forgetful: bool) -> None:
        visitors = Visitors()
        await check_monitor(lambda: Counts(visitors, forgetful=forgetful), run_s=0.01, churn=visitors.visit)

    asyncio.run(check(forgetful=True))
    with pytest.raises(ConformanceError, match=r"keeps \d+ bytes of each subject that is gone"):
        asyncio.run(check(forgetful=False))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([CARRIER], "is a tuple"),
        (("carrier",), "is no `Fact`"),
        ((replace(CARRIER, name="Carrier Lost"),), "`Carrier Lost` needs a name"),
        ((replace(CARRIER, unit="s"),), "is no number"),
        ((replace(CARRIER, summary=" "),), "one line"),
        ((replace(CARRIER, summary="two\nlines"),), "one line"),
        ((CARRIER, replace(ADDRESSES, name="carrier")), "same name: carrier, carrier"),
        ((replace(CARRIER, name="a.b.c"),), "`a.b.c` needs a name"),
        ((replace(ADDRESSES, unit="%"),), "the fact `addresses` of the language has other values"),
    ],
)
def test_bad_facts_are_caught(facts: Any, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_facts(facts)


def test_the_fact_of_a_plugin_may_begin_with_its_name() -> None:
    check_facts((WIFI_SIGNAL,))


@pytest.mark.parametrize("name", ["signal", "bad.signal", "goodness.signal"])
def test_a_fact_of_its_own_needs_the_name_of_the_monitor(name: str) -> None:
    class Measures(Good):
        facts = (METERED, replace(WIFI_SIGNAL, name=name))

    with pytest.raises(
        ConformanceError, match=rf"`{name}` is none of the language's: name it `good\.signal`"
    ):
        asyncio.run(check_monitor(Measures, run_s=0.01))


def test_a_fact_of_its_own_may_be_measured() -> None:
    class Measures(Good):
        facts = (WIFI_SIGNAL, replace(WIFI_SIGNAL, name="good.signal"))

    asyncio.run(check_monitor(Measures, run_s=0.01))


def test_the_recorder_waits_for_what_is_still_to_come() -> None:
    async def play() -> None:
        recorder = Recorder()
        recorder(link())
        waiting = asyncio.create_task(recorder.wait_for(lambda event: True, start=1))
        await asyncio.sleep(0)
        assert not waiting.done()
        recorder(cut())
        assert await waiting == cut()
        assert await recorder.wait_for(lambda event: True) == link()
        with pytest.raises(TimeoutError):
            await recorder.wait_for(lambda event: False, timeout_s=0.0)

    asyncio.run(play())
