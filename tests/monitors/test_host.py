from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

import pytest

from monitors import host as host_module
from monitors.discovery import Discovery, PluginFailure
from monitors.events import Event, FactMeasured, LinkState
from monitors.facts import HOUR, RTT, Fact
from monitors.host import MonitorHost
from monitors.mailbox import Reported
from monitors.origins import Kind, Origin
from monitors.spec import NotAvailableError, Report
from monitors.supervisor import (
    FAILURE_BUDGET,
    FIRST_PAUSE_S,
    GIVEN_UP_PAUSE_S,
    GOOD_WHILE_S,
    LOOK_AGAIN_S,
    MonitorState,
)
from monitors.together import together
from tests.monitors.samples import address, cut, link

Body = Callable[[Report], Awaitable[None]]

NO = r"OSError: no \(test_host\.py, line \d+\)"
"""What is told of a failure: also where in the plugin's own file it was."""


class FakeTime:
    """A clock that only sleeping moves. ``pauses`` is what was slept, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Scripted:
    """A monitor that does what ``bodies`` say, one after the other, and then waits for ever."""

    facts: tuple[Fact, ...] = ()

    def __init__(self, *bodies: Body, name: str = "scripted") -> None:
        self.name = name
        self._bodies = list(bodies)
        self.idle = asyncio.Event()

    async def run(self, report: Report) -> None:
        if self._bodies:
            await self._bodies.pop(0)(report)
        else:
            self.idle.set()
            await asyncio.Event().wait()


def says(*events: Event) -> Body:
    async def body(report: Report) -> None:
        for event in events:
            report(event)
        await asyncio.Event().wait()

    return body


def fails(error: BaseException, *events: Event) -> Body:
    async def body(report: Report) -> None:
        for event in events:
            report(event)
        raise error

    return body


async def returns(_report: Report) -> None:
    return None


WORD: Any = "up"


class OddLink(LinkState):
    """It could be anything."""


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


@asynccontextmanager
async def running(time: FakeTime, *monitors: Scripted, limit: int = 100) -> AsyncIterator[MonitorHost]:
    discovery = Discovery(monitors=monitors)
    async with MonitorHost(discovery, clock=time.clock, sleep=time.sleep, mailbox_limit=limit) as host:
        yield host


async def first(host: MonitorHost) -> tuple[Event, ...]:
    async for events in host:
        return events
    raise AssertionError("the host ended")


def test_events_reach_the_reader_together() -> None:
    async def play() -> None:
        async with running(FakeTime(), Scripted(says(link(), address()))) as host:
            assert await first(host) == (link(), address())
            (status,) = host.status().monitors
            assert (status.state, status.events, status.failures) == (MonitorState.RUNNING, 2, 0)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (fails(ValueError("broken")), "ValueError: broken"),
        (fails(SystemExit(3)), "SystemExit: 3"),
        (fails(UnspeakableError()), "UnspeakableError: its message can't be told"),
        (fails(OSError("caf\udce9")), "OSError: caf\\udce9"),
        (fails(asyncio.CancelledError()), "run() cancelled itself"),
        (returns, "run() returned"),
        (lambda report: report("eth0 is down"), "reported a `str`"),
        (
            lambda report: report(replace(link(), operstate=WORD)),
            "with operstate='up'; expected an `OperState`",
        ),
        (lambda report: report(OddLink(**asdict(link()))), "reported a `OddLink`, which is no event"),
    ],
)
def test_a_failing_monitor_is_started_again_and_stops_no_other(
    body: Body, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        time = FakeTime()
        bad, good = Scripted(body, name="bad"), Scripted(says(link()), name="good")
        async with running(time, bad, good) as host:
            assert await first(host) == (link(),)
            await bad.idle.wait()
            one, other = host.status().monitors
        assert (one.state, one.failures, one.restarts) == (MonitorState.RUNNING, 1, 1)
        assert said in str(one.last_error)
        assert (other.failures, other.restarts, other.last_error) == (0, 0, None)
        assert time.pauses == [FIRST_PAUSE_S]

    asyncio.run(play())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "monitor `bad` failed: " in caplog.text


def test_pauses_double_until_the_monitor_is_given_up_for_now(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        time = FakeTime()
        monitor = Scripted(*[fails(OSError("no"))] * (FAILURE_BUDGET + 2))
        async with running(time, monitor):
            await monitor.idle.wait()
        growing = [FIRST_PAUSE_S * 2**n for n in range(FAILURE_BUDGET - 1)]
        assert time.pauses == growing + 3 * [GIVEN_UP_PAUSE_S]

    asyncio.run(play())
    assert re.search(rf"monitor `scripted` failed: {NO}; next try in 600 s", caplog.text)


@pytest.mark.parametrize(
    ("ran_s", "third"), [(GOOD_WHILE_S, FIRST_PAUSE_S), (GOOD_WHILE_S - 1, 4 * FIRST_PAUSE_S)]
)
def test_a_good_while_ends_the_series_of_pauses(ran_s: float, third: float) -> None:
    time = FakeTime()

    async def runs_and_fails(_report: Report) -> None:
        time.now += ran_s
        raise OSError("no")

    async def play() -> None:
        monitor = Scripted(fails(OSError("no")), fails(OSError("no")), runs_and_fails)
        async with running(time, monitor):
            await monitor.idle.wait()

    asyncio.run(play())
    assert time.pauses == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, third]


def test_what_is_missing_may_be_without_words() -> None:
    class MissingError(NotAvailableError, UnspeakableError):
        pass

    async def play() -> None:
        missing = Scripted(fails(MissingError()))
        async with running(FakeTime(), missing) as host:
            await missing.idle.wait()
            assert host.status().monitors[0].failures == 0

    asyncio.run(play())


def test_events_from_before_a_failure_are_kept() -> None:
    async def play() -> None:
        monitor = Scripted(fails(OSError("no"), link()), says(cut()))
        async with running(FakeTime(), monitor) as host:
            seen = list(await first(host))
            while cut() not in seen:
                seen += await first(host)
            assert seen == [link(), cut()]

    asyncio.run(play())


def test_a_refused_event_fails_the_run_and_can_be_reported_again() -> None:
    async def play() -> None:
        three = (link(2), link(3, "ppp0"), link(4, "wlan0"))
        monitor = Scripted(says(*three), says(three[2]))
        async with running(FakeTime(), monitor, limit=2) as host:
            await asyncio.sleep(0)
            assert await first(host) == three[:2]
            assert await first(host) == three[2:]
            assert host.status().refused == 1
            assert "MailboxFullError" in str(host.status().monitors[0].last_error)

    asyncio.run(play())


def test_running_time_is_that_of_the_present_run() -> None:
    async def play() -> None:
        time = FakeTime()
        monitor = Scripted(fails(OSError("no")))
        async with running(time, monitor) as host:
            await monitor.idle.wait()
            time.now += 7.0
            assert host.status().monitors[0].running_s == pytest.approx(7.0)
        assert host.status().monitors[0].state is MonitorState.STOPPED
        assert host.status().monitors[0].running_s == 0.0

    asyncio.run(play())


def test_leaving_ends_the_tasks_and_the_reader() -> None:
    async def play() -> None:
        async with running(FakeTime(), Scripted(), Scripted(name="other")) as host:
            reader = asyncio.create_task(anext(aiter(host), None))
            await asyncio.sleep(0)
        assert await reader is None
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(play())


def test_a_monitor_that_swallows_its_cancellation_is_not_started_again() -> None:
    async def swallows(_report: Report) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async def play() -> None:
        time = FakeTime()
        async with running(time, Scripted(swallows)) as host:
            await asyncio.sleep(0)
        assert host.status().monitors[0].failures == 0
        assert time.pauses == []

    asyncio.run(play())


def test_a_monitor_that_does_not_end_is_left_behind_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_module, "STOP_LIMIT_S", 0.0)

    async def play() -> None:
        release = asyncio.Event()

        async def stubborn(_report: Report) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        async with running(FakeTime(), Scripted(stubborn, name="stubborn")):
            await asyncio.sleep(0)
        release.set()

    asyncio.run(play())
    assert "monitor stubborn does not end although it was cancelled" in caplog.text


def test_a_fault_of_the_host_itself_is_not_lost() -> None:
    class BrokenTime(FakeTime):
        async def sleep(self, seconds: float) -> None:
            raise RuntimeError(f"cannot sleep {seconds}")

    async def play() -> None:
        async with running(BrokenTime(), Scripted(returns)) as host:
            async for _ in host:
                pass

    with pytest.raises(RuntimeError, match="cannot sleep"):
        asyncio.run(play())


def test_a_monitor_of_several_parts_is_started_again_when_one_fails() -> None:
    async def parts(_report: Report) -> None:
        async def failing() -> None:
            await asyncio.sleep(0)
            raise OSError("no")

        await together(asyncio.Event().wait(), failing())  # type: ignore[arg-type]

    async def play() -> None:
        monitor = Scripted(parts)
        async with running(FakeTime(), monitor) as host, asyncio.timeout(10.0):
            await monitor.idle.wait()
            (status,) = host.status().monitors
        assert (status.state, status.failures) == (MonitorState.RUNNING, 1)
        assert re.fullmatch(NO, str(status.last_error))

    asyncio.run(play())


def test_plugins_that_failed_to_load_are_in_the_status() -> None:
    async def play() -> None:
        failure = PluginFailure(name="weather", reason="ImportError: no")
        async with MonitorHost(Discovery(monitors=(), failures=(failure,))) as host:
            assert host.status().failures == (failure,)

    asyncio.run(play())


def test_what_is_not_available_is_no_failure_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def play() -> None:
        time = FakeTime()
        absent = [fails(NotAvailableError("there is no battery"))] * 20
        monitor = Scripted(*absent)
        async with running(time, monitor) as host:
            for _ in range(10):
                await asyncio.sleep(0)
            (status,) = host.status().monitors
            assert (status.state, status.detail) == (MonitorState.NOT_AVAILABLE, "there is no battery")
            await monitor.idle.wait()
            (status,) = host.status().monitors
        assert (status.state, status.detail) == (MonitorState.RUNNING, "")
        assert (status.failures, status.restarts, status.last_error) == (0, 0, None)
        assert time.pauses == [LOOK_AGAIN_S] * len(absent)

    asyncio.run(play())
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == "monitor `scripted` is not available: there is no battery"


def test_the_state_of_a_monitor_that_failed_says_why() -> None:
    async def play() -> None:
        time = FakeTime()
        monitor = Scripted(*[fails(OSError("no"))] * FAILURE_BUDGET)
        async with running(time, monitor) as host:
            states = []
            while not monitor.idle.is_set():
                await asyncio.sleep(0)
                (status,) = host.status().monitors
                states.append((status.state, status.detail))
        assert status.last_error is not None
        assert re.fullmatch(NO, status.last_error)
        assert (MonitorState.PAUSED, status.last_error) in states
        assert (MonitorState.GIVEN_UP, status.last_error) in states
        assert status.last_error_at == sum(time.pauses[:-1])

    asyncio.run(play())


def test_the_last_event_is_told_in_words_with_its_time() -> None:
    class Measuring(Scripted):
        facts = (RTT,)

    async def play() -> None:
        time = FakeTime()
        time.now = 5.0
        measured = FactMeasured(fact="rtt", value=0.031, interface="wlan0", peer="10.0.0.9")
        async with running(time, Measuring(says(link(), measured))) as host:
            await first(host)
            (status,) = host.status().monitors
            assert (status.last_event, status.last_event_at) == ("rtt wlan0 -> 10.0.0.9 = 0.031 s", 5.0)
            assert status.facts == (RTT,)

    asyncio.run(play())


def test_measurements_are_stamped_with_the_time_of_their_report() -> None:
    class Measuring(Scripted):
        facts = (HOUR,)

    async def play() -> None:
        time = FakeTime()
        time.now = 5.0
        now, before = (
            FactMeasured(fact="hour", value=7.0),
            FactMeasured(fact="hour", value=6.0, measured_at=2.0),
        )
        async with running(time, Measuring(says(before, now))) as host:
            assert await first(host) == (before, replace(now, measured_at=5.0))

    asyncio.run(play())


def test_a_time_of_measurement_that_is_yet_to_come_is_of_another_clock() -> None:
    class Measuring(Scripted):
        facts = (HOUR,)

    async def play() -> None:
        late = FactMeasured(fact="hour", value=7.0, measured_at=1.7e9)
        monitor = Measuring(says(late))
        async with running(FakeTime(), monitor) as host:
            await monitor.idle.wait()
            assert "give a time of the event loop's clock" in str(host.status().monitors[0].last_error)

    asyncio.run(play())


def test_a_report_from_another_thread_is_refused() -> None:
    async def elsewhere(report: Report) -> None:
        await asyncio.to_thread(report, link())

    async def play() -> None:
        monitor = Scripted(elsewhere)
        async with running(FakeTime(), monitor) as host:
            await monitor.idle.wait()
            (status,) = host.status().monitors
        assert status.events == 0
        assert "use `loop.call_soon_threadsafe(report, event)`" in str(status.last_error)

    asyncio.run(play())


def test_monitors_that_are_switched_off_are_in_the_status() -> None:
    async def play() -> None:
        off = {"weather": Origin(Kind.FILE, "/etc/weather.py")}
        async with MonitorHost(Discovery(monitors=(), switched_off=off)) as host:
            (status,) = host.status().monitors
            assert (status.name, status.kind, status.origin) == ("weather", Kind.FILE, "/etc/weather.py")
            assert status.state is MonitorState.SWITCHED_OFF

    asyncio.run(play())


def test_what_was_read_is_remembered_with_its_monitor_and_time() -> None:
    async def play() -> None:
        async with running(FakeTime(), Scripted(says(link()), name="one")) as host:
            assert not host.recent
            await first(host)
            (reported,) = host.recent
            assert reported == Reported(link(), "one", 0.0)

    asyncio.run(play())


def test_a_monitor_costs_what_its_steps_cost() -> None:
    async def works(report: Report) -> None:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        await asyncio.Event().wait()

    async def play() -> None:
        async with running(FakeTime(), Scripted(works, name="busy"), Scripted(name="idle")) as host:
            await asyncio.sleep(0)
            busy, idle = host.status().monitors
        assert busy.cost_s >= 0.02
        assert busy.longest_step_s >= 0.02
        assert idle.cost_s < 0.02

    asyncio.run(play())
