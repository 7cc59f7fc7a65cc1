from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from dbus_fast.signature import Variant
from hypothesis import given
from hypothesis import strategies as st

from monitors.events import Event, FactMeasured
from monitors.logind import MANAGER, sleep_announcements
from monitors.logind import PATH as LOGIND_PATH
from monitors.services import BusError
from monitors.sleep import (
    ASLEEP_S,
    JUMP_S,
    SAME_WAKE_S,
    SLEPT_S,
    WOKEN_S,
    Clocks,
    SleepMonitor,
    SleepSettings,
    SleepTracker,
    has_slept,
    migrate_monitors,
    read_clocks,
)
from monitors.spec import SettingsError
from monitors.surroundings import Solitude
from monitors.testing import Recorder, check_monitor
from tests.monitors.buses import PROPERTIES, FakeLogind, bus_in, running
from tests.monitors.test_dbus import descriptors

START = Clocks(monotonic=1000.0, boottime=1500.0, realtime=1.8e9)
AWAKE = FactMeasured(fact="asleep", value=False)
ASLEEP = FactMeasured(fact="asleep", value=True, lifetime_s=ASLEEP_S)
UNKNOWN = FactMeasured(fact="asleep", value=None)
WOKEN = FactMeasured(fact="woken", value=True, lifetime_s=WOKEN_S + SAME_WAKE_S)
NOT_WOKEN = FactMeasured(fact="woken", value=False)


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with bus_in(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


def later(clocks: Clocks, awake_s: float, *, slept_s: float = 0.0, set_by_s: float = 0.0) -> Clocks:
    """Return the clocks after a time awake and asleep, and after the local time was set."""
    return Clocks(
        monotonic=clocks.monotonic + awake_s,
        boottime=clocks.boottime + awake_s + slept_s,
        realtime=clocks.realtime + awake_s + slept_s + set_by_s,
    )


async def silence(_delay_s: float) -> AsyncGenerator[bool | None, None]:
    await asyncio.Event().wait()
    yield None


class Days:
    """Clocks that go on by a second at each reading, and by whatever else is in ``jumps``."""

    def __init__(self) -> None:
        self.now = START
        self.jumps: list[Callable[[Clocks], Clocks]] = []

    def read(self) -> Clocks:
        self.now = later(self.now, 1.0)
        if self.jumps:
            self.now = self.jumps.pop()(self.now)
        return self.now


def at_once(_seconds: float) -> asyncio.Future[None]:
    return asyncio.ensure_future(asyncio.sleep(0))


def told(tracker: SleepTracker, now: float) -> list[FactMeasured]:
    return list(tracker.events(now))


@given(awake_s=st.floats(0, 1e6), slept_s=st.floats(0, SLEPT_S * 0.99), set_s=st.floats(-1e9, JUMP_S * 0.5))
def test_a_process_that_stood_still_and_small_steps_are_no_sleep(
    awake_s: float, slept_s: float, set_s: float
) -> None:
    assert not has_slept(START, later(START, awake_s, slept_s=slept_s, set_by_s=set_s))


@given(awake_s=st.floats(0, 1e4), slept_s=st.floats(SLEPT_S * 1.01, 1e8), set_s=st.floats(-1e9, 1e9))
def test_a_sleep_shows_however_the_time_is_set(awake_s: float, slept_s: float, set_s: float) -> None:
    assert has_slept(START, later(START, awake_s, slept_s=slept_s, set_by_s=set_s))


@given(awake_s=st.floats(0, 1e4), set_s=st.floats(JUMP_S * 1.01, 1e9))
def test_a_virtual_machine_that_was_paused_counts_as_woken(awake_s: float, set_s: float) -> None:
    assert has_slept(START, later(START, awake_s, set_by_s=set_s))


def test_a_sleep_is_told_afterwards_for_half_a_minute() -> None:
    tracker = SleepTracker()
    tracker.look(START, 0.0)
    assert told(tracker, 0.0) == [NOT_WOKEN]
    tracker.look(later(START, 1.0, slept_s=3600.0), 1.0)
    assert told(tracker, 1.0) == [WOKEN]
    assert told(tracker, 1.0 + WOKEN_S - 0.1) == []
    assert told(tracker, 1.0 + WOKEN_S) == [NOT_WOKEN]


def test_one_wake_is_told_once_though_two_tell_of_it() -> None:
    tracker = SleepTracker()
    tracker.look(START, 0.0)
    tracker.announce(asleep=False, now=0.0)
    tracker.announce(asleep=True, now=0.1)
    assert told(tracker, 0.1) == [NOT_WOKEN, ASLEEP]
    tracker.look(later(START, 0.5, slept_s=60.0), 0.5)
    assert told(tracker, 0.5) == [WOKEN, AWAKE]
    tracker.announce(asleep=False, now=2.0)
    assert told(tracker, 2.0) == []


def test_the_same_in_the_other_order() -> None:
    tracker = SleepTracker()
    tracker.look(START, 0.0)
    tracker.announce(asleep=True, now=0.1)
    tracker.announce(asleep=False, now=0.4)
    assert told(tracker, 0.4) == [WOKEN, AWAKE]
    tracker.look(later(START, 1.0, slept_s=60.0), 1.0)
    assert told(tracker, 1.0) == []
    assert told(tracker, 0.4 + WOKEN_S) == [NOT_WOKEN]


def test_another_wake_within_the_half_minute_renews_it() -> None:
    tracker = SleepTracker()
    tracker.look(START, 0.0)
    first = later(START, 1.0, slept_s=60.0)
    tracker.look(first, 1.0)
    assert told(tracker, 1.0) == [WOKEN]
    tracker.look(later(first, 20.0, slept_s=60.0), 21.0)
    assert told(tracker, 21.0) == [WOKEN]
    assert told(tracker, 40.0) == []
    assert told(tracker, 51.0) == [NOT_WOKEN]


def test_whoever_falls_asleep_again_is_not_woken() -> None:
    tracker = SleepTracker()
    tracker.announce(asleep=True, now=0.0)
    tracker.announce(asleep=False, now=1.0)
    assert told(tracker, 1.0) == [WOKEN, AWAKE]
    tracker.announce(asleep=True, now=2.0)
    assert told(tracker, 2.0) == [NOT_WOKEN, ASLEEP]


def test_without_logind_nobody_knows_of_sleep_beforehand() -> None:
    tracker = SleepTracker()
    tracker.announce(asleep=None, now=0.0)
    assert told(tracker, 0.0) == [NOT_WOKEN]
    tracker.announce(asleep=True, now=1.0)
    assert told(tracker, 1.0) == [ASLEEP]
    tracker.announce(asleep=None, now=2.0)
    assert told(tracker, 2.0) == [UNKNOWN]


def test_a_refused_report_is_made_again() -> None:
    tracker = SleepTracker()
    tracker.announce(asleep=False, now=0.0)
    next(tracker.events(0.0))
    assert told(tracker, 0.0) == [NOT_WOKEN, AWAKE]


def test_the_kernels_clocks_go_together() -> None:
    readings = [reading for reading in (read_clocks() for _ in range(1000)) if reading is not None]
    assert len(readings) > 1
    assert not has_slept(readings[0], readings[-1])
    assert abs(readings[0].boottime - float(Path("/proc/uptime").read_text().split()[0])) < 60


def test_a_reading_during_which_the_process_stood_still_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([1.0, 3.0, 3.0, 3.0])
    monkeypatch.setattr("monitors.sleep.time.clock_gettime", lambda _clock: next(times))
    assert read_clocks() is None


@pytest.mark.parametrize("settings", [{"delay": 6}, {"delay": "1s"}, {"delya": 1}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="`delay`"):
        migrate_monitors(Solitude({"sleep": settings}))


def test_the_clocks_alone_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")

    async def story() -> list[Event]:
        days, recorder = Days(), Recorder()
        async with running(SleepMonitor(clocks=days.read, pause=at_once).run(recorder)):
            await recorder.wait_for(lambda event: event == NOT_WOKEN)
            days.jumps.append(partial(later, awake_s=0, slept_s=600.0))
            await recorder.wait_for(lambda event: event == WOKEN)
        return recorder.events

    assert asyncio.run(story()) == [NOT_WOKEN, WOKEN]


def test_it_keeps_the_contract() -> None:
    recorder = asyncio.run(check_monitor(lambda: SleepMonitor(announcements=silence)))
    assert recorder.events == [NOT_WOKEN]


def test_a_bus_that_fails_ends_only_what_it_told() -> None:
    async def failing(_delay_s: float) -> AsyncGenerator[bool | None, None]:
        yield False
        raise BusError("the connection to the system bus was lost")

    async def story() -> list[Event]:
        days, recorder = Days(), Recorder()
        async with running(SleepMonitor(None, failing, days.read, at_once).run(recorder)):
            await recorder.wait_for(lambda event: event == UNKNOWN)
            days.jumps.append(partial(later, awake_s=0, slept_s=600.0))
            await recorder.wait_for(lambda event: event == WOKEN)
        return recorder.events

    assert asyncio.run(story()) == [NOT_WOKEN, AWAKE, UNKNOWN, WOKEN]


def monitor(delay_s: float = 0.01) -> SleepMonitor:
    return SleepMonitor(SleepSettings(delay=delay_s))


def test_it_hears_logind_and_has_it_wait(address: str) -> None:
    async def story() -> tuple[list[Event], FakeLogind]:
        recorder = Recorder()
        async with FakeLogind(address) as logind, running(monitor().run(recorder)):
            await recorder.wait_for(lambda event: event == AWAKE)
            assert len(logind.locks) == 1
            await logind.prepare(True)
            await asyncio.wait_for(logind.released(), 60)
            assert recorder.events[-1] == ASLEEP  # before the lock was released
            await logind.prepare(False)
            await recorder.wait_for(lambda event: event == AWAKE, start=3)
            assert len(logind.locks) == 2
        await asyncio.wait_for(logind.released(), 60)
        return recorder.events, logind

    events, logind = asyncio.run(story())
    assert events == [NOT_WOKEN, AWAKE, ASLEEP, WOKEN, AWAKE]
    assert logind.locks[0][0::3] == ("sleep", "delay")


@pytest.mark.parametrize("refused", [True, False])
def test_without_a_lock_it_hears_all_the_same(address: str, refused: bool) -> None:
    async def story() -> list[Event]:
        logind, recorder = FakeLogind(address), Recorder()
        if refused:
            del logind.answers[LOGIND_PATH, MANAGER, "Inhibit"]
        async with logind, running(monitor(0.01 if refused else 0.0).run(recorder)):
            await recorder.wait_for(lambda event: event == AWAKE)
            await logind.prepare(True)
            await recorder.wait_for(lambda event: event == ASLEEP)
            assert ("Inhibit" in logind.calls) == refused
            assert logind.locks == []
        return recorder.events

    assert ASLEEP in asyncio.run(story())


def test_logind_may_come_and_go(address: str) -> None:
    async def story() -> list[Event]:
        logind, recorder = FakeLogind(address), Recorder()
        async with running(monitor().run(recorder)):
            await recorder.wait_for(lambda event: event == NOT_WOKEN)
            logind.preparing = True
            async with logind:
                await recorder.wait_for(lambda event: event == ASLEEP)
            await recorder.wait_for(lambda event: event == UNKNOWN)
            logind.preparing = False
            async with logind:
                await recorder.wait_for(lambda event: event == AWAKE)
        return recorder.events

    assert asyncio.run(story())[:4] == [NOT_WOKEN, ASLEEP, UNKNOWN, AWAKE]


@pytest.mark.parametrize(
    "answer", [("v", [Variant("s", "no")]), ("b", [True]), ("v", [Variant("u", 1)]), ("", [])]
)
def test_an_answer_that_makes_no_sense_is_none(address: str, answer: tuple[str, list[object]]) -> None:
    async def story() -> None:
        logind = FakeLogind(address)
        logind.answers[LOGIND_PATH, PROPERTIES, "Get"] = lambda *_: answer
        async with logind:
            with pytest.raises(BusError):
                await asyncio.wait_for(anext(sleep_announcements(0.0)), 60)

    asyncio.run(story())


@pytest.mark.parametrize("answer", [("s", ["a lock"]), ("", [])])
def test_a_lock_that_is_none_ends_it(address: str, answer: tuple[str, list[object]]) -> None:
    async def story() -> None:
        logind = FakeLogind(address)
        logind.answers[LOGIND_PATH, MANAGER, "Inhibit"] = lambda *_: answer
        async with logind:
            with pytest.raises(BusError, match="answers `Inhibit`"):
                await asyncio.wait_for(anext(sleep_announcements(0.5)), 60)

    asyncio.run(story())


def test_no_descriptor_is_left_behind(address: str) -> None:
    async def story() -> None:
        recorder = Recorder()
        async with FakeLogind(address) as logind, running(monitor().run(recorder)):
            await recorder.wait_for(lambda event: event == AWAKE)
            await logind.prepare(True)
            await asyncio.wait_for(logind.released(), 60)

    asyncio.run(story())
    before = descriptors()
    asyncio.run(story())
    assert descriptors() == before
