"""The gps-zone monitor, with a gpsd that says what a test wants, in gpsd's own words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from gps_zone import (
    AGAIN_S,
    ELSEWHERE,
    LIFETIME_S,
    Fix,
    GpsZoneMonitor,
    Settings,
    Tracker,
    Zone,
    distance_m,
    migrate_monitors,
)

from monitors.events import FactMeasured
from monitors.facts import FactValue
from monitors.spec import NotAvailableError, SettingsError
from monitors.testing import FakeSurroundings, Recorder, check_monitor

PORT = Zone(latitude=54.32, longitude=10.14, radius=500.0)
QUAY = Zone(latitude=54.32, longitude=10.14, radius=5000.0)
ZONES = {"port": PORT, "quay": QUAY}
IN_PORT = Fix(mode=3, lat=54.32, lon=10.14, speed=0.2)
AT_SEA = Fix(mode=2, lat=55.0, lon=11.0, speed=9.0)
DEGREE_M = 111_195.0


def said(name: str, value: FactValue | None) -> FactMeasured:
    lifetime_s = None if value is None else LIFETIME_S
    return FactMeasured(fact=f"gps-zone.{name}", value=value, lifetime_s=lifetime_s)


def at(metres_north: float) -> Fix:
    """Return a fix north of the middle of the port."""
    return Fix(mode=3, lat=PORT.latitude + metres_north / DEGREE_M, lon=PORT.longitude, speed=0.2)


def zones(tracker: Tracker, *fixes: Fix) -> list[FactValue | None]:
    """Return the zones that are reported because of some fixes at once."""
    events = [event for fix in fixes for event in tracker.receive(fix, 0.0)]
    return [event.value for event in events if event.fact == "gps-zone.zone"]


class Gpsd:
    """Say what gpsd would: who it is, that it is watched, and fixes."""

    def __init__(self) -> None:
        self.fix: Fix | None = IN_PORT
        self.port = 0
        self.asked: list[bytes] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers.copy():
            writer.close()
        await self._server.wait_closed()

    def tell(self, fix: Fix) -> None:
        self.fix = fix
        for writer in self._writers:
            self._say(writer, "TPV", **{name: getattr(fix, name) for name in fix.__struct_fields__})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._say(writer, "VERSION", release="3.22", proto_major=3, proto_minor=14)
        self.asked.append(await reader.readline())
        self._writers.add(writer)
        self._say(writer, "DEVICES", devices=[{"class": "DEVICE", "path": "/dev/ttyUSB0"}])
        self._say(writer, "WATCH", enable=True, json=True, mode="anything")
        if self.fix is not None:
            self.tell(self.fix)
        await reader.read()
        self._writers.discard(writer)
        writer.close()

    def _say(self, writer: asyncio.StreamWriter, kind: str, **fields: object) -> None:
        present = {name: value for name, value in fields.items() if value is not None}
        writer.write(json.dumps({"class": kind, **present}).encode() + b"\r\n")


@asynccontextmanager
async def gpsd() -> AsyncIterator[Gpsd]:
    daemon = Gpsd()
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.stop()


def monitor_of(daemon: Gpsd) -> GpsZoneMonitor:
    return GpsZoneMonitor(Settings(port=daemon.port, zones=ZONES))


def test_it_keeps_the_contract() -> None:
    async def story() -> None:
        async with gpsd() as daemon:
            recorder = await check_monitor(
                partial(monitor_of, daemon), vanish=daemon.stop, come_back=daemon.start
            )
            assert recorder.events == [said("fix", True), said("zone", "port"), said("speed", 0.2)]
            assert set(daemon.asked) == {b'?WATCH={"enable":true,"json":true};\n'}

    asyncio.run(story())


def test_each_change_is_told_at_once() -> None:
    async def story() -> None:
        async with gpsd() as daemon:
            recorder = Recorder()
            task = asyncio.create_task(monitor_of(daemon).run(recorder))
            await recorder.wait_for(lambda event: event == said("speed", 0.2))
            daemon.tell(AT_SEA)
            await recorder.wait_for(lambda event: event == said("speed", 9.0))
            daemon.tell(Fix(mode=1))
            await recorder.wait_for(lambda event: event == said("speed", None))
            task.cancel()
            await asyncio.wait({task})
            assert recorder.events[3:] == [
                said("zone", ELSEWHERE),
                said("speed", 9.0),
                said("fix", False),
                said("zone", None),
                said("speed", None),
            ]

    asyncio.run(story())


def test_a_gpsd_that_ends_is_a_failure_and_one_that_is_not_there_is_none() -> None:
    async def story() -> None:
        recorder = Recorder()
        async with gpsd() as daemon:
            monitor = monitor_of(daemon)
            task = asyncio.create_task(monitor.run(recorder))
            await recorder.wait_for(lambda event: event == said("speed", 0.2))
        with pytest.raises(ConnectionError, match="gpsd ended the conversation"):
            await task
        assert recorder.events[3:] == [said("fix", None), said("zone", None), said("speed", None)]
        with pytest.raises(NotAvailableError, match=r"no gpsd answers on 127\.0\.0\.1 port"):
            await monitor.run(recorder)

    asyncio.run(story())


def test_a_host_with_several_addresses_is_told_with_what_each_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object, **_options: object) -> None:
        raise OSError("Multiple exceptions: one, another")  # as asyncio puts it, without a number

    monkeypatch.setattr(asyncio, "open_connection", refused)
    with pytest.raises(NotAvailableError, match=r"port 2947: Multiple exceptions: one"):
        asyncio.run(GpsZoneMonitor(Settings()).run(Recorder()))


def test_a_zone_is_left_further_out_than_it_is_entered() -> None:
    tracker = Tracker(Settings(zones={"port": PORT}))
    assert zones(tracker, at(510), at(490), at(510), at(530), at(510)) == [ELSEWHERE, "port", ELSEWHERE]


def test_of_zones_that_overlap_the_first_counts() -> None:
    assert zones(Tracker(Settings(zones=ZONES)), at(0), at(4000), at(6000)) == ["port", "quay", ELSEWHERE]


def test_a_value_is_said_again_before_it_expires() -> None:
    tracker = Tracker(Settings(zones=ZONES))
    assert len(list(tracker.receive(IN_PORT, 0.0))) == 3
    assert list(tracker.receive(IN_PORT, AGAIN_S - 1)) == []
    assert len(list(tracker.receive(IN_PORT, AGAIN_S))) == 3
    assert AGAIN_S < LIFETIME_S / 2


def test_a_speed_that_hardly_differs_is_the_same() -> None:
    tracker = Tracker(Settings())
    list(tracker.receive(Fix(mode=3, lat=0.0, lon=0.0, speed=5.0), 0.0))
    assert list(tracker.receive(Fix(mode=3, lat=0.0, lon=0.0, speed=5.9), 0.0)) == []
    (event,) = tracker.receive(Fix(mode=3, lat=0.0, lon=0.0, speed=6.1), 0.0)
    assert event == said("speed", 6.1)


def test_distances() -> None:
    assert distance_m(0, 0, 0, 0) == 0
    assert distance_m(52.5, 13.4, 53.5, 13.4) == pytest.approx(DEGREE_M, rel=1e-3)
    assert distance_m(0, 179.5, 0, -179.5) == pytest.approx(DEGREE_M, rel=1e-3)
    assert distance_m(0, 0, 0, 180) == pytest.approx(20_015_000, rel=1e-3)


def test_policies_may_name_the_zones_that_are_configured() -> None:
    table = {"zones": {"home-port": {"latitude": 54.3, "longitude": 10.1, "radius": 300}}}
    (monitor,) = migrate_monitors(FakeSurroundings({"gps-zone": table}))
    assert monitor.facts[0].choices == ("home-port", ELSEWHERE)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"zones": {"Home": {"latitude": 0, "longitude": 0, "radius": 1}}}, "a zone can't be called `Home`"),
        ({"zones": {ELSEWHERE: {"latitude": 0, "longitude": 0, "radius": 1}}}, "can't be called `elsewhere`"),
        ({"ports": 1}, "did you mean `port`"),
        ({"port": 0}, "from 1 to 65535"),
    ],
)
def test_wrong_settings_are_told(table: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        migrate_monitors(FakeSurroundings({"gps-zone": table}))
