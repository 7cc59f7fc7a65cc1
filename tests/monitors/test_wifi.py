from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors import genetlink, nl80211
from monitors.events import FactMeasured
from monitors.nl80211 import WirelessLink
from monitors.spec import NotAvailableError
from monitors.testing import Recorder, check_monitor
from monitors.wifi import LIFETIME_S, POLL_S, STEP_DB, KernelRadio, WifiMonitor, WifiTable


def link(signal_dbm: int | None = -70, ssid: str | None = "home", interface: str = "wlan0") -> WirelessLink:
    return WirelessLink(interface=interface, ssid=ssid, signal_dbm=signal_dbm)


def ssid(value: str | None, interface: str = "wlan0") -> FactMeasured:
    return _fact("wifi.ssid", value, interface)


def signal(value: float | None, interface: str = "wlan0") -> FactMeasured:
    return _fact("wifi.signal", value, interface)


def _fact(fact: str, value: float | str | None, interface: str) -> FactMeasured:
    lifetime_s = None if value is None else LIFETIME_S
    return FactMeasured(fact=fact, value=value, interface=interface, lifetime_s=lifetime_s)


class FakeRadio:
    """Links that a test sets, and news that it sends."""

    def __init__(self, *links: WirelessLink) -> None:
        self.found = links
        self.there = True
        self.looks = 0
        self._theirs: socket.socket | None = None

    def news(self) -> socket.socket:
        if not self.there:
            raise NotAvailableError("there is no Wi-Fi device")
        self.close()
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        return ours

    def is_news(self, datagram: bytes) -> bool:
        return datagram == b"news"

    def links(self) -> tuple[WirelessLink, ...]:
        self.looks += 1
        if not self.there:
            raise FileNotFoundError
        return self.found

    def become(self, *links: WirelessLink) -> None:
        self.found = links
        assert self._theirs is not None
        self._theirs.send(b"news")

    def close(self) -> None:
        if self._theirs is not None:
            self._theirs.close()


async def watch(radio: FakeRadio, scene: Callable[[Recorder], object], monitor: WifiMonitor) -> list[object]:
    """Run a monitor until it has told of its first look, do something, and let it tell of that."""
    recorder = Recorder()
    task = asyncio.create_task(monitor.run(recorder))
    await recorder.wait_for(lambda _: True)
    start = len(recorder.events)
    scene(recorder)
    await recorder.wait_for(lambda _: True, start=start)
    task.cancel()
    await asyncio.wait({task})
    radio.close()
    return list(recorder.events)


def test_a_link_has_a_network_and_a_signal() -> None:
    table = WifiTable()
    assert list(table.receive([link()], 0.0)) == [ssid("home"), signal(-70.0)]
    assert list(table.receive([link(ssid="work")], 1.0)) == [ssid("work")]
    assert list(table.receive([link(None, None)], 2.0)) == [ssid(None), signal(None)]
    assert list(table.receive([], 3.0)) == []


def test_a_signal_does_not_chatter() -> None:
    table = WifiTable()
    heard = [-70, -71, -70, -69, -72, -71, -73, -74]
    events = [list(table.receive([link(dbm)], 0.1 * turn)) for turn, dbm in enumerate(heard)]
    assert STEP_DB == 2
    assert [event[-1].value if event else None for event in events] == [
        -70.0,
        None,
        None,
        None,
        -72.0,
        None,
        None,
        -74.0,
    ]


@given(st.lists(st.integers(-110, -20), min_size=1, max_size=40))
def test_what_was_said_of_a_signal_is_close_to_it(heard: list[int]) -> None:
    table, said = WifiTable(), 0.0
    for turn, dbm in enumerate(heard):
        for event in table.receive([link(dbm)], POLL_S * turn):
            said = float(event.value) if event.fact == "wifi.signal" and event.value is not None else said
        assert abs(said - dbm) < STEP_DB


def test_a_signal_that_stays_is_said_again_as_it_was_said() -> None:
    table = WifiTable()
    list(table.receive([link(-70)], 0.0))
    times = [POLL_S * turn for turn in range(1, 16)]
    again = {now: list(table.receive([link(-71)], now)) for now in times}
    said = [now for now, events in again.items() if events]
    assert all(again[now] == [ssid("home"), signal(-70.0)] for now in said)
    assert max(later - earlier for earlier, later in zip([0.0, *said], said, strict=False)) < LIFETIME_S


def test_links_are_told_apart() -> None:
    table = WifiTable()
    both = [link(), link(-40, "work", "wlan1")]
    assert set(table.receive(both, 0.0)) == {
        ssid("home"),
        signal(-70.0),
        ssid("work", "wlan1"),
        signal(-40.0, "wlan1"),
    }
    assert set(table.receive(both[:1], 1.0)) == {ssid(None, "wlan1"), signal(None, "wlan1")}


def test_news_is_told_at_once() -> None:
    radio = FakeRadio(link())
    monitor = WifiMonitor(lambda: radio, poll_s=3600.0)
    events = asyncio.run(watch(radio, lambda _: radio.become(), monitor))
    assert events == [ssid("home"), signal(-70.0), ssid(None), signal(None)]
    assert radio.looks == 2


def test_a_signal_is_looked_at_now_and_then() -> None:
    radio = FakeRadio(link())
    monitor = WifiMonitor(lambda: radio, poll_s=0.001)

    def fade(_: Recorder) -> None:
        radio.found = (link(-80),)

    assert asyncio.run(watch(radio, fade, monitor))[-1] == signal(-80.0)


def test_without_a_network_it_waits_for_news() -> None:
    async def scene() -> None:
        radio = FakeRadio(link(None, None))
        task = asyncio.create_task(WifiMonitor(lambda: radio, poll_s=0.0).run(Recorder()))
        async with asyncio.timeout(60.0):
            while not radio.looks:  # noqa: ASYNC110 - it looks in another thread
                await asyncio.sleep(0.001)
        await asyncio.wait({task}, timeout=0.1)
        assert radio.looks == 1
        task.cancel()
        await asyncio.wait({task})
        radio.close()

    asyncio.run(scene())


def test_wifi_that_goes_is_not_available_and_its_facts_are_unknown() -> None:
    async def scene() -> None:
        radio, recorder = FakeRadio(link()), Recorder()
        monitor = WifiMonitor(lambda: radio, poll_s=0.001)
        task = asyncio.create_task(monitor.run(recorder))
        await recorder.wait_for(lambda _: True)
        radio.there = False
        with pytest.raises(NotAvailableError, match="there is no Wi-Fi device"):
            await task
        assert set(recorder.events[2:]) == {ssid(None), signal(None)}
        with pytest.raises(NotAvailableError):  # and it says it only once
            await monitor.run(recorder)
        assert len(recorder.events) == 4
        radio.close()

    asyncio.run(scene())


def test_it_keeps_the_contract() -> None:
    radio = FakeRadio(link())
    with closing(radio):
        recorder = asyncio.run(check_monitor(lambda: WifiMonitor(lambda: radio), run_s=0.3))
    assert recorder.events == [ssid("home"), signal(-70.0)]


def test_this_kernel() -> None:
    """With Wi-Fi it keeps the contract, without it says so, and either way the kernel itself answers."""
    with closing(genetlink.connect()) as kernel:
        there = genetlink.find_family(kernel, nl80211.FAMILY)
    if there is None:
        with pytest.raises(NotAvailableError, match="there is no Wi-Fi device"):
            asyncio.run(WifiMonitor().run(Recorder()))
    else:
        assert {"config", "mlme"} <= there.groups.keys()
        with closing(KernelRadio().news()):
            pass
        asyncio.run(check_monitor(WifiMonitor))
