from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from monitors import host as host_module
from monitors.discovery import Discovery, PluginFailure
from monitors.events import Event
from monitors.facts import Fact
from monitors.host import MonitorHost
from monitors.spec import Report
from monitors.supervisor import FIRST_PAUSE_S, GOOD_WHILE_S, LONGEST_PAUSE_S, MonitorState
from tests.monitors.samples import address, cut, link

Body = Callable[[Report], Awaitable[None]]


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
        (fails(asyncio.CancelledError()), "run() cancelled itself"),
        (returns, "run() returned"),
        (lambda report: report("eth0 is down"), "reported a `str`"),
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


def test_pauses_double_up_to_a_limit() -> None:
    async def play() -> None:
        time = FakeTime()
        monitor = Scripted(*[fails(OSError("no"))] * 12)
        async with running(time, monitor):
            await monitor.idle.wait()
        assert time.pauses == [min(FIRST_PAUSE_S * 2**n, LONGEST_PAUSE_S) for n in range(12)]
        assert time.pauses[-1] == LONGEST_PAUSE_S

    asyncio.run(play())


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


def test_plugins_that_failed_to_load_are_in_the_status() -> None:
    async def play() -> None:
        failure = PluginFailure(name="weather", reason="ImportError: no")
        async with MonitorHost(Discovery(monitors=(), failures=(failure,))) as host:
            assert host.status().failures == (failure,)

    asyncio.run(play())
