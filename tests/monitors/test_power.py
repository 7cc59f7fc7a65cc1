from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitors import power
from monitors.events import FactMeasured
from monitors.power import LIFETIME_S, PowerMonitor, is_of_power, open_uevents
from monitors.spec import NotAvailableError
from monitors.supplies import read_supplies
from monitors.testing import Recorder, check_monitor
from tests.monitors.sysfs import BATTERY, supply

UEVENT = (
    b"change@/devices/LNXSYSTM:00/ACPI0003:00/power_supply/AC\0ACTION=change\0"
    b"DEVPATH=/devices/LNXSYSTM:00/ACPI0003:00/power_supply/AC\0SUBSYSTEM=power_supply\0"
    b"POWER_SUPPLY_NAME=AC\0POWER_SUPPLY_ONLINE=0\0SEQNUM=2412\0"
)


def on_battery(value: bool | None) -> FactMeasured:
    return FactMeasured(fact="on-battery", value=value, lifetime_s=None if value is None else LIFETIME_S)


def battery(value: float | None) -> FactMeasured:
    return FactMeasured(fact="battery", value=value, lifetime_s=None if value is None else LIFETIME_S)


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    supply(tmp_path, "AC", type="Mains", online=1)
    supply(tmp_path, "BAT0", **BATTERY | {"status": "Charging"})
    return tmp_path


@pytest.fixture
def uevents() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@asynccontextmanager
async def running(monitor: PowerMonitor) -> AsyncIterator[Recorder]:
    recorder = Recorder()
    task = asyncio.create_task(monitor.run(recorder))
    await recorder.wait_for(lambda event: event.fact == "battery")  # type: ignore[union-attr]
    yield recorder
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


def test_a_cable_that_is_pulled_is_told_at_once(
    laptop: Path, uevents: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "PAUSE_S", 0.0)

    async def scene() -> list[object]:
        async with running(PowerMonitor(laptop, lambda: uevents[0], poll_s=3600.0)) as recorder:
            supply(laptop, "AC", online=0)
            supply(laptop, "BAT0", status="Discharging")
            uevents[1].send(b"add@/devices/x\0SUBSYSTEM=net\0")
            uevents[1].send(UEVENT)
            await recorder.wait_for(lambda event: event == on_battery(True))
            return list(recorder.events)

    assert asyncio.run(scene()) == [on_battery(False), battery(64.0), on_battery(True)]


def test_where_the_kernel_tells_nothing_it_looks(laptop: Path) -> None:
    async def scene() -> None:
        async with running(PowerMonitor(laptop, lambda: None, poll_s=0.001)) as recorder:
            supply(laptop, "BAT0", capacity=12)
            await recorder.wait_for(lambda event: event == battery(12.0))

    asyncio.run(scene())


def test_a_battery_that_is_taken_out_is_unknown(laptop: Path) -> None:
    async def scene() -> None:
        recorder = Recorder()
        monitor = PowerMonitor(laptop, lambda: None, poll_s=0.001)
        task = asyncio.create_task(monitor.run(recorder))
        await recorder.wait_for(lambda _: True)
        shutil.rmtree(laptop / "BAT0")
        with pytest.raises(NotAvailableError, match="there is no battery"):
            await task
        with pytest.raises(NotAvailableError):
            await monitor.run(recorder)
        assert set(recorder.events[2:]) == {on_battery(None), battery(None)}
        assert len(recorder.events) == 4
        supply(laptop, "BAT0", **BATTERY)
        async with running(monitor) as again:
            assert again.events == [on_battery(False), battery(64.0)]

    asyncio.run(scene())


def test_what_is_not_known_is_not_said(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", type="Battery", capacity=50)
    recorder = asyncio.run(check_monitor(lambda: PowerMonitor(tmp_path, lambda: None), run_s=0.3))
    assert recorder.events == [battery(50.0)]


def test_it_keeps_the_contract(laptop: Path) -> None:
    recorder = asyncio.run(check_monitor(lambda: PowerMonitor(laptop), run_s=0.3))
    assert recorder.events == [on_battery(False), battery(64.0)]


def test_uevents_are_told_apart() -> None:
    assert is_of_power(UEVENT)
    assert not is_of_power(UEVENT.replace(b"power_supply\0POWER", b"power_supply_x\0POWER"))
    assert not is_of_power(b"")


def test_no_uevents_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError

    monkeypatch.setattr(power, "subscribe", refuse)
    assert open_uevents() is None


def test_this_host() -> None:
    """With a battery it keeps the contract, without one it says so."""
    if read_supplies().batteries:
        asyncio.run(check_monitor(PowerMonitor))
    else:
        with pytest.raises(NotAvailableError, match="there is no battery"):
            asyncio.run(PowerMonitor().run(Recorder()))
