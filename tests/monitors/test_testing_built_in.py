"""Every built-in monitor keeps the contract, with sources that vanish and subjects that come and go."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitors.address import AddressMonitor
from monitors.carrier import CarrierMonitor
from monitors.clock import ClockMonitor
from monitors.counters import CountersMonitor
from monitors.counters import Settings as CountersSettings
from monitors.discovery import discover
from monitors.events import LinkGone
from monitors.heartbeat import HeartbeatMonitor
from monitors.keepalive import KeepaliveMonitor
from monitors.messages import Snapshot
from monitors.metered import MeteredMonitor, MeteredSettings
from monitors.power import PowerMonitor
from monitors.probe import ProbeMonitor
from monitors.probing import Settings
from monitors.route import RouteMonitor
from monitors.sleep import SleepMonitor
from monitors.spec import Monitor
from monitors.surroundings import KeepAlive, WatchedPeer
from monitors.tcp import CALM_S, TcpMonitor
from monitors.testing import FakeClock, FakeSurroundings, ScriptedFeed, check_monitor
from monitors.usage import Counted, Reading
from monitors.wifi import WifiMonitor
from tests.monitors.samples import address, cut, gone, link
from tests.monitors.sysfs import BATTERY, supply
from tests.monitors.test_metered import nobody
from tests.monitors.test_route import FakeTables
from tests.monitors.test_sleep import silence
from tests.monitors.test_tcp import CALM, FakeReader
from tests.monitors.test_wifi import FakeRadio
from tests.monitors.test_wifi import link as wireless
from tests.monitors.watched import connection, path

OVERRUN = OSError(errno.ENOBUFS, "no buffer space available")


@dataclass(frozen=True, kw_only=True)
class Rig:
    """How a monitor is made, and what can be done to its source."""

    make: Callable[[], Monitor]
    run_s: float = 0.1
    vanish: Callable[[], object] | None = None
    come_back: Callable[[], object] | None = None
    churn: Callable[[int], object] | None = None
    close: Callable[[], object] = lambda: None


def carrier(_: Path) -> Rig:
    feed = ScriptedFeed(Snapshot(links=(link(),)))
    return Rig(
        make=lambda: CarrierMonitor(lambda: feed),
        vanish=lambda: feed.break_off(OVERRUN),
        come_back=feed.mend,
        # Without carrier: losses are remembered for a minute, on purpose.
        churn=lambda n: feed.put(cut(n + 3, f"veth{n}"), LinkGone(interface=f"veth{n}", index=n + 3)),
    )


def addresses(_: Path) -> Rig:
    feed = ScriptedFeed(Snapshot(links=(link(),), addresses=(address(),)))

    def churn(number: int) -> None:
        another = address(f"10.{number // 250}.{number % 250}.7")
        feed.put(another, gone(another))

    return Rig(
        make=lambda: AddressMonitor(lambda: feed),
        vanish=lambda: feed.break_off(OVERRUN),
        come_back=feed.mend,
        churn=churn,
    )


def clock(_: Path) -> Rig:
    return Rig(make=ClockMonitor)


def counters(folder: Path) -> Rig:
    table = {"wwan0": Counted(2, 0, 0)}

    def vanish() -> None:
        table.clear()

    def come_back() -> None:
        table["wwan0"] = Counted(2, 0, 0)

    def make() -> Monitor:
        return CountersMonitor(
            CountersSettings(), folder, read_links=lambda: Reading("boot", dict(table)), poll_s=0.01
        )

    return Rig(make=make, run_s=0.3, vanish=vanish, come_back=come_back)


def keepalive(_: Path) -> Rig:
    around = FakeSurroundings()
    said = [KeepAlive(session="s", healthy=True, well_at=0.0)]
    around.set(keep_alives=said)
    return Rig(
        make=lambda: KeepaliveMonitor(around),
        vanish=lambda: around.set(keep_alives=()),
        come_back=lambda: around.set(keep_alives=said),
    )


def heartbeat(_: Path) -> Rig:
    around = FakeSurroundings()
    peers = [WatchedPeer(name="peer", sessions=("s",), heard_at=0.0)]
    around.set(peers=peers)
    return Rig(
        make=lambda: HeartbeatMonitor(around),
        vanish=lambda: around.set(peers=()),
        come_back=lambda: around.set(peers=peers),
    )


def metered(_: Path) -> Rig:
    feed = ScriptedFeed(Snapshot(links=(link(interface="wwan0"),)))

    def churn(number: int) -> None:
        name = f"wwan{number + 1}"
        feed.put(link(number + 3, name))
        feed.put(LinkGone(interface=name, index=number + 3))

    return Rig(
        make=lambda: MeteredMonitor(MeteredSettings(links={"wwan*": True}), lambda: feed, nobody),
        vanish=lambda: feed.break_off(OVERRUN),
        come_back=feed.mend,
        churn=churn,
    )


def power(folder: Path) -> Rig:
    supply(folder, "BAT0", **BATTERY)
    return Rig(
        make=lambda: PowerMonitor(folder, lambda: None, poll_s=0.01),
        run_s=0.3,
        vanish=lambda: shutil.rmtree(folder / "BAT0"),
        come_back=lambda: supply(folder, "BAT0", **BATTERY),
    )


def probe(_: Path) -> Rig:
    around = FakeSurroundings()
    around.set(paths=[path()])
    around.answers[path()] = 0.03
    return Rig(
        make=lambda: ProbeMonitor(around, Settings(interval=0.2, quick_interval=0.05)),
        run_s=0.4,
        vanish=lambda: around.set(paths=()),
        come_back=lambda: around.set(paths=[path()]),
    )


def route(_: Path) -> Rig:
    return Rig(make=lambda: RouteMonitor(FakeSurroundings(), open_tables=FakeTables))


def sleep(_: Path) -> Rig:
    return Rig(make=lambda: SleepMonitor(announcements=silence))


def tcp(_: Path) -> Rig:
    around, reader, clock = FakeSurroundings(), FakeReader({1: CALM}), FakeClock()
    around.set(connections=[connection()])

    async def churn(number: int) -> None:
        around.set(connections=[connection(number + 2)])
        reader.readings = {number + 2: CALM}
        reader.watched.clear()
        clock.slept.clear()
        await clock.advance(CALM_S)

    return Rig(
        make=lambda: TcpMonitor(around, open_reader=lambda _: reader, clock=clock, sleep=clock.sleep),
        churn=churn,
    )


def wifi(_: Path) -> Rig:
    radio = FakeRadio(wireless())

    def vanish() -> None:
        radio.there = False

    def come_back() -> None:
        radio.there = True

    return Rig(
        make=lambda: WifiMonitor(lambda: radio, poll_s=0.01),
        run_s=0.3,
        vanish=vanish,
        come_back=come_back,
        close=radio.close,
    )


RIGS: Mapping[str, Callable[[Path], Rig]] = {
    "address": addresses,
    "carrier": carrier,
    "clock": clock,
    "counters": counters,
    "heartbeat": heartbeat,
    "keepalive": keepalive,
    "metered": metered,
    "power": power,
    "probe": probe,
    "route": route,
    "sleep": sleep,
    "tcp": tcp,
    "wifi": wifi,
}


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("name", RIGS)
def test_it_keeps_the_contract(name: str, tmp_path: Path) -> None:
    rig = RIGS[name](tmp_path)

    async def check() -> None:
        recorder = await check_monitor(
            rig.make, run_s=rig.run_s, vanish=rig.vanish, come_back=rig.come_back, churn=rig.churn
        )
        assert recorder.events

    with closing(rig):
        asyncio.run(check())


def test_every_built_in_monitor_is_among_them() -> None:
    assert {monitor.name for monitor in discover(plugins=False).monitors} <= RIGS.keys()
