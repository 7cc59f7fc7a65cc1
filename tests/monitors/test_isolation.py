"""Monitors that others wrote, and wrote badly: each in a real thread, beside a good one."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from io import StringIO
from typing import Any

import pytest

from monitors import host as host_module
from monitors import isolation, reporting, supervisor
from monitors.discovery import Discovery
from monitors.events import FactMeasured
from monitors.facts import Fact, FactType, Subject
from monitors.host import MonitorHost
from monitors.isolation import StuckError, interrupt
from monitors.mailbox import MailboxFullError
from monitors.origins import Kind, Origin
from monitors.spec import NotAvailableError, Report
from monitors.supervisor import MonitorState, MonitorStatus
from monitors.testing.steps import delays, starved_s
from tests.monitors.samples import link

TICK_S = 0.01
LATE_S = 0.1

TRIES = 5
"""In so many runs a busy machine lets one go by in which it makes nobody late."""

LEVEL = Fact(
    name="bad.level", type=FactType.NUMBER, unit="", subject=Subject.HOST, summary="a level", monitor="bad"
)

Body = Callable[[Report], Awaitable[None]]


class Bad:
    """A plugin's monitor that does what ``body`` says, in every run."""

    name = "bad"
    facts = (LEVEL,)

    def __init__(self, body: Body) -> None:
        self._body = body

    async def run(self, report: Report) -> None:
        await self._body(report)


class Good:
    """A built-in monitor that reports all the time, and says how late its loop ever was.

    For how long a thread waited for a processor is not counted.
    """

    name = "good"
    facts: tuple[Fact, ...] = ()

    def __init__(self) -> None:
        self.late_s = 0.0

    async def run(self, report: Report) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before, due = delays(), loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            late_s = loop.time() - due
            self.late_s = max(self.late_s, late_s - starved_s(before))
            report(link())


class Bench:
    """A host with a bad plugin and a good monitor, and somebody who reads."""

    def __init__(self, host: MonitorHost, good: Good) -> None:
        self.host = host
        self.good = good
        self.read = 0

    @property
    def bad(self) -> MonitorStatus:
        return self.host.status().monitors[0]

    async def until(self, holds: Callable[[MonitorStatus], object], limit_s: float = 60.0) -> MonitorStatus:
        async with asyncio.timeout(limit_s):
            while not holds(status := self.bad):  # noqa: ASYNC110 - nobody tells of a monitor's state
                await asyncio.sleep(TICK_S)
        return status

    async def consume(self) -> None:
        async for events in self.host:
            self.read += len(events)


@asynccontextmanager
async def bench(
    body: Body, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[Bench]:
    good = Good()
    found = Discovery(monitors=(Bad(body), good), origins={"bad": Origin(Kind.PLUGIN, "bad 1.0")})
    async with MonitorHost(found, sleep=sleep) as host:
        it = Bench(host, good)
        reader = asyncio.create_task(it.consume())
        yield it
        before = host.status().monitors[1].events
        await asyncio.sleep(3 * TICK_S)
        assert host.status().monitors[1].events > before, "the good monitor goes on"
        assert host.status().monitors[1].failures == 0
    await reader


def holds_up_nobody(play: Callable[[], Coroutine[Any, Any, Bench]]) -> bool:
    """Return whether the good monitor was in time in one of some runs."""
    return any(asyncio.run(play()).good.late_s < LATE_S for _ in range(TRIES))


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("monitor "):
            thread.join(60.0)
            assert not thread.is_alive()
    gc.collect()  # an event loop that nobody closed fails the test that left it


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask more often and give up sooner. On a busy machine those seem to block, too, that do not."""
    monkeypatch.setattr(isolation, "ASK_EVERY_S", 0.05)
    monkeypatch.setattr(isolation, "INTERRUPT_AFTER_S", 0.3)
    monkeypatch.setattr(supervisor, "BLOCKED_AFTER_S", 0.1)


impatient = pytest.mark.usefixtures("_impatient")


async def waits(_report: Report) -> None:
    await asyncio.Event().wait()


async def raises(_report: Report) -> None:
    raise ValueError("two\nlines")


async def exits(_report: Report) -> None:
    sys.exit("no licence")


async def exits_in_a_task(_report: Report) -> None:
    await asyncio.gather(exits(_report), waits(_report))


async def returns(_report: Report) -> None:
    return


async def says_nonsense(report: Report) -> None:
    report("eth0 is down")  # type: ignore[arg-type]


async def raises_what_is_no_exception(_report: Report) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (raises, "ValueError: two lines"),
        (exits, "SystemExit: no licence"),
        (exits_in_a_task, "SystemExit: no licence"),
        (returns, "run() returned"),
        (says_nonsense, "reported a `str`"),
        (raises_what_is_no_exception, "KeyboardInterrupt"),
    ],
)
def test_a_plugin_that_fails_is_named_and_started_again(
    body: Body, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with bench(body) as it:
            status = await it.until(lambda bad: bad.restarts >= 2)
            assert said in str(status.last_error)
            assert (status.kind, status.origin) == (Kind.PLUGIN, "bad 1.0")

    asyncio.run(play())
    assert "monitor `bad` failed: " in caplog.text


def test_a_plugin_runs_in_a_thread_of_its_own_and_in_one_loop() -> None:
    threads: list[str] = []
    lock = asyncio.Event()  # bound to the loop in which it is first waited for
    loops: list[asyncio.AbstractEventLoop] = []

    async def body(report: Report) -> None:
        threads.append(threading.current_thread().name)
        loops.append(asyncio.get_running_loop())
        with suppress(TimeoutError):
            await asyncio.wait_for(lock.wait(), 0.001)
        raise ValueError

    async def play() -> None:
        async with bench(body) as it:
            status = await it.until(lambda bad: bad.restarts >= 2)
            assert (status.last_error or "").startswith("ValueError:  (test_isolation.py, line ")
            assert loops[0] is not asyncio.get_running_loop()

    asyncio.run(play())
    assert set(threads) == {"monitor bad"}
    assert len(set(map(id, loops))) == 1


def test_events_of_a_plugin_arrive_in_their_order_with_their_time() -> None:
    async def body(report: Report) -> None:
        for level in range(100):
            report(FactMeasured(fact="bad.level", value=float(level)))
            await asyncio.sleep(0)
        await waits(report)

    async def play() -> None:
        began = time.monotonic()
        async with bench(body) as it:
            await it.until(lambda bad: bad.events == 100)
            await it.until(lambda _: not it.host.status().waiting)
            mine = [each.event for each in it.host.recent if each.monitor == "bad"]
            assert it.bad.last_event == "bad.level = 99"
        measured = [event for event in mine if isinstance(event, FactMeasured)]
        assert [event.value for event in measured] == list(range(100))
        assert all(began <= (event.measured_at or 0.0) <= time.monotonic() for event in measured)

    asyncio.run(play())


def test_a_plugin_may_find_that_nothing_is_there_to_watch() -> None:
    async def body(_report: Report) -> None:
        raise NotAvailableError("there is no modem")

    async def play() -> None:
        async with bench(body) as it:
            status = await it.until(lambda bad: bad.state is MonitorState.NOT_AVAILABLE)
            assert (status.detail, status.failures) == ("there is no modem", 0)

    asyncio.run(play())


def test_a_plugin_that_hangs_in_an_await_is_harmless_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with bench(waits) as it:
            status = await it.until(lambda bad: bad.state is MonitorState.RUNNING)
            assert (status.failures, status.detail) == (0, "")
            monkeypatch.setattr(supervisor, "QUIET_AFTER_S", 0.1)
            status = await it.until(lambda bad: bad.detail)
            assert (status.state, status.failures) == (MonitorState.RUNNING, 0)
            assert status.detail.startswith("it has reported nothing since it began, ")

    asyncio.run(play())


@impatient
@pytest.mark.alone
def test_a_plugin_that_blocks_its_loop_is_named_once_and_holds_up_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = threading.Lock()

    async def body(report: Report) -> None:
        with release:  # in C, as `time.sleep` is: it can't be interrupted
            await waits(report)

    async def play() -> Bench:
        caplog.clear()
        release.acquire()
        async with bench(body) as it:
            status = await it.until(lambda bad: bad.state is MonitorState.BLOCKED)
            assert "it has held up its event loop for " in status.detail
            await asyncio.sleep(4 * isolation.INTERRUPT_AFTER_S)
            assert caplog.text.count("monitor `bad` blocks its event loop, and can't be interrupted") == 1
            assert (it.bad.state, it.bad.restarts) == (MonitorState.BLOCKED, 0)
            assert it.bad.longest_step_s > isolation.INTERRUPT_AFTER_S
            release.release()
            status = await it.until(lambda bad: bad.failures)
            assert status.last_error == "it blocked its event loop for more than 0.3 s"
        return it

    assert holds_up_nobody(play)


def in_code_of(thread: threading.Thread, *names: str) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name in names


def test_nobody_is_interrupted_who_may_keep_a_lock_of_all() -> None:
    """Raised when the lock was just taken, the error would leave it taken for ever."""
    everybodys, handler = threading.Condition(), logging.StreamHandler(StringIO())
    assert handler.lock is not None
    record = logging.makeLogRecord({"msg": "no"})

    def taking() -> None:
        with everybodys:
            pass

    for lock, take, where in (
        (everybodys, taking, ["__enter__"]),
        (handler.lock, partial(handler.handle, record), ["acquire", "handle"]),  # as of Python 3.11, of 3.13
    ):
        with lock:
            thread = threading.Thread(target=take)
            thread.start()
            while not in_code_of(thread, *where):
                time.sleep(0.001)
            assert not interrupt(thread)
        thread.join(60.0)
        assert lock.acquire(timeout=60.0)
        lock.release()


def test_one_who_never_rests_is_interrupted_though_it_takes_locks_all_the_time() -> None:
    ended = threading.Event()

    def burn() -> None:
        logger = logging.getLogger("nobody hears")
        logger.propagate = False
        logger.addHandler(logging.StreamHandler(StringIO()))
        try:
            while True:
                logger.warning("no")
        except StuckError:
            ended.set()

    thread = threading.Thread(target=burn)
    thread.start()
    tries = 0
    while not interrupt(thread):
        tries += 1
        assert tries < 10_000
        time.sleep(0.001)
    assert ended.wait(60.0)
    thread.join(60.0)


@impatient
@pytest.mark.alone
def test_a_plugin_that_burns_a_core_is_interrupted_and_holds_up_nobody() -> None:
    async def play() -> Bench:
        spent_s: list[float] = []

        async def body(_report: Report) -> None:
            run, began = len(spent_s), time.thread_time()
            spent_s.append(0.0)
            while True:
                with suppress(Exception):  # it hides all that it may
                    sum(range(1000))
                    spent_s[run] = time.thread_time() - began

        async with bench(body) as it:
            status = await it.until(lambda bad: bad.restarts)
            assert status.last_error == "it blocked its event loop for more than 0.3 s"
            assert 0.0 < spent_s[0] <= status.cost_s
        return it

    assert holds_up_nobody(play)


@impatient
def test_a_callback_that_never_returns_is_interrupted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = threading.Event()
    # Not before it was seen to block, however rarely this test is let look.
    monkeypatch.setattr(isolation, "interrupt", lambda thread: seen.is_set() and interrupt(thread))

    def burn() -> None:
        while True:
            sum(range(1000))

    calls = iter([burn])

    async def body(report: Report) -> None:
        for call in calls:
            asyncio.get_running_loop().call_soon(call)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        report(FactMeasured(fact="bad.level", value=1.0))
        await waits(report)

    async def play() -> None:
        async with bench(body) as it:
            await it.until(lambda bad: bad.state is MonitorState.BLOCKED)
            seen.set()
            await it.until(lambda bad: bad.events)
            await it.until(lambda bad: bad.state is MonitorState.RUNNING)

    asyncio.run(play())
    assert "burn" in caplog.text


@pytest.mark.alone
@pytest.mark.parametrize("hides", [False, True], ids=["raises", "hides the error"])
def test_a_plugin_that_floods_fails_and_holds_up_nobody(hides: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "FLOOD_S", 1)

    async def body(report: Report) -> None:
        while True:
            for _ in range(100):
                with suppress(reporting.FloodError if hides else MailboxFullError):
                    report(FactMeasured(fact="bad.level", value=1.0))
            await asyncio.sleep(0)

    async def play() -> Bench:
        async with bench(body) as it:
            status = await it.until(lambda bad: bad.failures)
            assert status.last_error == "it reported more than 1,000 events a second for 1 s"
        return it

    assert holds_up_nobody(play)


def test_a_plugin_whose_reader_is_slow_keeps_its_last_state() -> None:
    async def body(report: Report) -> None:
        for level in range(1000):
            report(FactMeasured(fact="bad.level", value=float(level)))
        await waits(report)

    async def play() -> None:
        found = Discovery(monitors=(Bad(body),), origins={"bad": Origin(Kind.FILE, "bad.py")})
        async with MonitorHost(found, mailbox_limit=10) as host:
            it = Bench(host, Good())
            await it.until(lambda bad: bad.events == 1000)
            assert host.status().waiting <= 10
            async for events in host:
                last = events[-1]
                break
            assert isinstance(last, FactMeasured)
            assert last.value == 999.0

    asyncio.run(play())


def test_tasks_that_a_failed_run_left_behind_do_not_go_on() -> None:
    ended = threading.Event()

    async def lingers() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    kept: list[asyncio.Task[None]] = []

    async def body(_report: Report) -> None:
        kept.append(asyncio.create_task(lingers()))
        await asyncio.sleep(0)
        raise ValueError("no")

    async def play() -> None:
        async with bench(body) as it:
            await it.until(lambda bad: bad.failures)
            assert ended.is_set()

    asyncio.run(play())


def test_a_report_from_another_thread_of_the_plugin_is_refused() -> None:
    async def body(report: Report) -> None:
        await asyncio.to_thread(report, link())

    async def play() -> None:
        async with bench(body) as it:
            status = await it.until(lambda bad: bad.failures)
            assert "another thread" in str(status.last_error)

    asyncio.run(play())


def test_a_plugin_waits_for_its_thread_when_there_can_be_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = threading.Thread.start
    refused: list[str] = []

    def start(thread: threading.Thread) -> None:
        if thread.name == "monitor bad" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)

    async def play() -> None:
        async with bench(waits) as it:
            status = await it.until(lambda bad: bad.state is MonitorState.RUNNING)
            assert (status.last_error or "").startswith("RuntimeError: can't start new thread")

    asyncio.run(play())


def test_leaving_cancels_a_plugin_and_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "STOP_LIMIT_S", 60.0)
    ended = threading.Event()

    async def body(_report: Report) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.set()

    async def play() -> None:
        async with bench(body) as it:
            await it.until(lambda bad: bad.state is MonitorState.RUNNING)
        assert ended.is_set()

    asyncio.run(play())


def test_a_plugin_that_swallows_its_cancellation_is_left_behind_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_module, "STOP_LIMIT_S", 0.1)
    release = threading.Event()

    async def body(_report: Report) -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def play() -> None:
        async with bench(body) as it:
            await it.until(lambda bad: bad.state is MonitorState.RUNNING)

    asyncio.run(play())
    assert "monitor bad does not end although it was cancelled" in caplog.text
    assert any(thread.name == "monitor bad" for thread in threading.enumerate())
    release.set()


def test_a_failing_plugin_costs_one_warning_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def no_pause(_seconds: float) -> None:
        await asyncio.sleep(0)

    async def play() -> None:
        async with bench(raises, no_pause) as it:
            await it.until(lambda bad: bad.state is MonitorState.GIVEN_UP)

    asyncio.run(play())
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
