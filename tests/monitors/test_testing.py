"""The conformance kit must catch every kind of bad monitor, and pass a good one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from monitors.events import FactMeasured
from monitors.facts import ADDRESSES, CARRIER, METERED, WIFI_SIGNAL, Fact
from monitors.mailbox import MailboxFullError
from monitors.spec import Report
from monitors.testing import ConformanceError, Recorder, check_facts, check_monitor
from tests.monitors.samples import cut, link


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
