from __future__ import annotations

import asyncio
import time
from calendar import timegm
from collections.abc import Iterator

import pytest

from monitors.clock import LOOK_AGAIN_S, ClockMonitor, local_facts, next_look_s
from monitors.events import Event, FactMeasured
from monitors.facts import WEEKDAY
from monitors.mailbox import MailboxFullError
from monitors.testing import Recorder, check_monitor

SUNDAY = float(timegm((2026, 11, 22, 22, 59, 30, 0, 0, 0)))
"""Seconds since the epoch of a Sunday, half a minute before 23 h UTC."""


class Zone:
    """The time zone of the tests."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def set(self, name: str) -> None:
        self._patch.setenv("TZ", name)


@pytest.fixture
def zone() -> Iterator[Zone]:
    with pytest.MonkeyPatch.context() as patch:
        zone = Zone(patch)
        zone.set("UTC0")
        yield zone
    time.tzset()


class Night:
    """A clock that sleeping moves, until the night is over. ``naps`` is what was slept, in seconds."""

    def __init__(self, now: float = SUNDAY, turns: int = 100) -> None:
        self.now = now
        self.naps: list[float] = []
        self._turns = turns

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if len(self.naps) == self._turns:
            raise asyncio.CancelledError
        self.naps.append(seconds)
        self.now += seconds


def heard(night: Night, recorder: Recorder | None = None) -> list[Event]:
    recorder = recorder or Recorder()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ClockMonitor(night.clock, night.sleep).run(recorder))
    return recorder.events


def hour(value: float) -> FactMeasured:
    return FactMeasured(fact="hour", value=value)


def weekday(value: str) -> FactMeasured:
    return FactMeasured(fact="weekday", value=value)


@pytest.mark.usefixtures("zone")
def test_each_change_is_reported_once_when_it_happens() -> None:
    night = Night(turns=1 + 60 + 60)
    assert heard(night) == [
        hour(22.0),
        weekday("sunday"),
        hour(23.0),
        hour(0.0),
        weekday("monday"),
        hour(1.0),
    ]
    assert night.naps[:2] == [30.0, LOOK_AGAIN_S]


def test_a_time_zone_that_is_set_shows_within_a_minute(zone: Zone) -> None:
    class Travelling(Night):
        async def sleep(self, seconds: float) -> None:
            zone.set("EAST-2")
            await super().sleep(seconds)

    night = Travelling(SUNDAY - 600, turns=1)
    assert heard(night) == [hour(22.0), weekday("sunday"), hour(0.0), weekday("monday")]
    assert night.now <= SUNDAY - 600 + LOOK_AGAIN_S


@pytest.mark.usefixtures("zone")
def test_a_clock_that_is_set_back_is_reported() -> None:
    class SetBack(Night):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            self.now -= 86_400

    assert heard(SetBack(turns=1)) == [hour(22.0), weekday("sunday"), hour(23.0), weekday("saturday")]


def test_half_an_hour_beside_the_others_is_an_hour_too(zone: Zone) -> None:
    zone.set("HALF-5:30")
    assert local_facts(SUNDAY) == {"hour": 4.0, "weekday": "monday"}
    assert next_look_s(SUNDAY + 1800) == 30.0


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("at", "wait_s"),
    [(SUNDAY, 30.0), (SUNDAY + 29.75, 0.25), (SUNDAY + 30, LOOK_AGAIN_S), (SUNDAY - 120, LOOK_AGAIN_S)],
)
def test_it_looks_at_the_full_hour(at: float, wait_s: float) -> None:
    assert next_look_s(at) == wait_s


def test_weekdays_begin_as_python_counts_them() -> None:
    assert (WEEKDAY.choices[0], WEEKDAY.choices[6]) == ("monday", "sunday")


def test_a_refused_report_ends_the_run() -> None:
    with pytest.raises(MailboxFullError):
        asyncio.run(ClockMonitor().run(Recorder(refuse=True)))


@pytest.mark.usefixtures("zone")
def test_it_keeps_the_contract() -> None:
    def make() -> ClockMonitor:
        return ClockMonitor(lambda: SUNDAY)

    recorder = asyncio.run(check_monitor(make, run_s=0.01))
    assert recorder.events == [hour(22.0), weekday("sunday")]
