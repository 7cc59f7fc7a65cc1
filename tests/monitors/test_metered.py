from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path

import pytest
from dbus_fast.signature import Variant

from monitors.events import Event, FactMeasured, LinkGone, LinkState, OperState
from monitors.mailbox import MailboxFullError
from monitors.messages import Snapshot
from monitors.metered import MeteredMonitor, MeteredSettings, MeteredTable, migrate_monitors
from monitors.networkmanager import metered_links
from monitors.services import BusError
from monitors.spec import NotAvailableError, SettingsError
from monitors.surroundings import Solitude
from monitors.testing import Recorder, ScriptedFeed, check_monitor
from tests.monitors.buses import FakeNetworkManager, bus_in, running
from tests.monitors.test_kernel import NAMESPACE, ROOT

UNKNOWN, YES, NO, GUESS_YES, GUESS_NO = range(5)
"""NMMetered, as NetworkManager numbers it."""

WWAN = MeteredSettings(links={"wwan*": True, "eth0": False, "*": False}, cost={"wwan*": 5.0})


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with bus_in(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


def link(interface: str, index: int = 1) -> LinkState:
    return LinkState(interface=interface, index=index, up=True, carrier=True, operstate=OperState.UP)


def metered(interface: str, value: bool | None) -> FactMeasured:
    return FactMeasured(fact="metered", value=value, interface=interface)


def cost(interface: str, value: float | None) -> FactMeasured:
    return FactMeasured(fact="cost", value=value, interface=interface)


def brief_manager(restart_s: float = 0.05) -> AsyncGenerator[Mapping[str, bool] | None, None]:
    return metered_links(restart_s=restart_s)


def monitor(settings: MeteredSettings | None = None, feed: ScriptedFeed | None = None) -> MeteredMonitor:
    return MeteredMonitor(settings, lambda: feed or ScriptedFeed(), brief_manager)


def nobody() -> AsyncGenerator[Mapping[str, bool] | None, None]:
    return told(None)


async def told(*readings: Mapping[str, bool] | None) -> AsyncGenerator[Mapping[str, bool] | None, None]:
    for reading in readings:
        yield reading
    await asyncio.Event().wait()


class Failing:
    """A bus that fails whenever it is asked."""

    def __call__(self) -> AsyncGenerator[Mapping[str, bool] | None, None]:
        return self._fail()

    async def _fail(self) -> AsyncGenerator[Mapping[str, bool] | None, None]:
        yield {"wlan0": True}
        raise BusError("the system bus does not answer within 10 s")


def test_the_first_pattern_that_matches_counts() -> None:
    table = MeteredTable(WWAN)
    table.receive(Snapshot(links=(link("wwan0", 1), link("eth0", 2), link("usb0", 3))))
    assert list(table.events()) == [
        metered("wwan0", True),
        cost("wwan0", 5.0),
        metered("eth0", False),
        metered("usb0", False),
    ]
    assert list(table.events()) == []


def test_the_configuration_outranks_network_manager() -> None:
    table = MeteredTable(MeteredSettings(links={"wlan0": False}))
    table.receive(link("wlan0"))
    table.manager({"wlan0": True, "wlan1": True})
    assert list(table.events()) == [metered("wlan0", False), metered("wlan1", True)]


def test_what_is_gone_is_known_no_longer() -> None:
    table = MeteredTable(WWAN)
    table.receive(link("wwan0"))
    assert len(list(table.events())) == 2
    table.receive(LinkGone(interface="wwan0", index=1))
    assert list(table.events()) == [metered("wwan0", None), cost("wwan0", None)]
    assert list(table.events()) == []


def test_a_renamed_link_has_what_is_said_of_its_new_name() -> None:
    table = MeteredTable(MeteredSettings(links={"wwan*": True}))
    table.receive(link("wwan0"))
    assert list(table.events()) == [metered("wwan0", True)]
    table.receive(link("modem0"))
    assert list(table.events()) == [metered("wwan0", None)]


def test_a_refused_report_is_made_again() -> None:
    table = MeteredTable(WWAN)
    table.receive(link("eth0"))
    next(table.events())
    assert list(table.events()) == [metered("eth0", False)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"link": {}}, "did you mean `links`"),
        ({"links": {"wwan*": 1}}, "`links`"),
        ({"links": ["wwan0"]}, "`links`"),
        ({"cost": {"wwan*": -1}}, "from 0"),
        ({"cost": {"wwan*": float("inf")}}, "from 0"),
        ({"cost": {"wwan*": "much"}}, "a number"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        migrate_monitors(Solitude({"metered": settings}))


async def not_available(of: MeteredMonitor) -> tuple[str, list[Event]]:
    recorder = Recorder()
    with pytest.raises(NotAvailableError) as error:
        await asyncio.wait_for(of.run(recorder), 60)
    return str(error.value), recorder.events


def test_with_nobody_to_ask_it_is_not_available() -> None:
    why, events = asyncio.run(not_available(MeteredMonitor(manager=nobody)))
    assert why == "NetworkManager is not running, and `[monitors.metered]` names no links"
    assert events == []


def test_a_bus_that_fails_takes_back_what_it_said() -> None:
    why, events = asyncio.run(not_available(MeteredMonitor(manager=Failing())))
    assert why.startswith("the system bus does not answer within 10 s, and ")
    assert events == [metered("wlan0", True), metered("wlan0", None)]


def test_the_configuration_counts_while_the_bus_fails() -> None:
    async def story() -> list[Event]:
        feed, recorder = ScriptedFeed(), Recorder()
        async with running(MeteredMonitor(WWAN, lambda: feed, Failing()).run(recorder)):
            feed.put(Snapshot(links=()))
            await recorder.wait_for(lambda event: event == metered("wlan0", None))
            feed.put(link("wwan0"))
            await recorder.wait_for(lambda event: event == cost("wwan0", 5.0))
            assert feed.open == 1
        assert feed.open == 0
        return recorder.events

    assert metered("wwan0", True) in asyncio.run(story())


def test_a_full_mailbox_ends_the_run_as_it_is() -> None:
    async def story() -> None:
        feed = ScriptedFeed()
        feed.put(Snapshot(links=(link("wwan0"),)))
        await MeteredMonitor(WWAN, lambda: feed, nobody).run(Recorder(refuse=True))

    with pytest.raises(MailboxFullError):
        asyncio.run(story())


def test_it_keeps_the_contract() -> None:
    recorder = asyncio.run(check_monitor(lambda: MeteredMonitor(manager=lambda: told({"wwan0": True}))))
    assert recorder.events == [metered("wwan0", True)]


def test_without_a_bus_it_is_not_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    why, _ = asyncio.run(not_available(MeteredMonitor()))
    assert "No such file" in why


def test_it_hears_what_network_manager_says(address: str) -> None:
    async def story() -> list[Event]:
        manager, recorder = FakeNetworkManager(address), Recorder()
        wlan = manager.device(1, "wlan0", GUESS_YES)
        manager.device(2, "eth0", GUESS_NO)
        manager.device(3, "lo", UNKNOWN)
        manager.device(4, "ttyUSB0", YES, ip_interface="wwan0")
        manager.device(5, "00:11:22:33:44:55", YES, ip_interface="")
        manager.device(6, "docker0", NO)
        async with manager, running(monitor().run(recorder)):
            await recorder.wait_for(lambda event: event == metered("docker0", False))
            await manager.change(wlan, State=Variant("u", 120))
            await manager.change(wlan, Metered=Variant("u", NO))
            await recorder.wait_for(lambda event: event == metered("wlan0", False))
            await manager.add(manager.device(7, "usb0", YES))
            await recorder.wait_for(lambda event: event == metered("usb0", True))
            await manager.remove(wlan)
            await recorder.wait_for(lambda event: event == metered("wlan0", None))
            await manager.change(f"{wlan[:-1]}7", Metered=Variant("u", UNKNOWN))
            await recorder.wait_for(lambda event: event == metered("usb0", None))
            assert manager.calls.count("GetDevices") == 1
            assert manager.calls.count("GetAll") == 6 + 3
        return recorder.events

    assert asyncio.run(story()) == [
        metered("wlan0", True),
        metered("eth0", False),
        metered("wwan0", True),
        metered("docker0", False),
        metered("wlan0", False),
        metered("usb0", True),
        metered("wlan0", None),
        metered("usb0", None),
    ]


def test_network_manager_may_come_and_go(address: str) -> None:
    async def story() -> list[Event]:
        manager, recorder, feed = FakeNetworkManager(address), Recorder(), ScriptedFeed()
        manager.device(1, "wlan0", YES)
        feed.put(Snapshot(links=(link("eth0"),)))
        async with running(monitor(WWAN, feed).run(recorder)):
            await recorder.wait_for(lambda event: event == metered("eth0", False))
            await manager.start()
            await recorder.wait_for(lambda event: event == metered("wlan0", True))
            await manager.stop()
            await recorder.wait_for(lambda event: event == metered("wlan0", None))
            manager.device(1, "wlan0", NO)
            await manager.start()
            await recorder.wait_for(lambda event: event == metered("wlan0", False))
            heard = list(recorder.events)  # when it ends that is told soon
            await manager.stop()
        return heard

    assert asyncio.run(story()) == [
        metered("eth0", False),
        metered("wlan0", True),
        metered("wlan0", None),
        metered("wlan0", False),
    ]


def test_network_manager_may_need_a_moment_to_start(address: str) -> None:
    async def story() -> FakeNetworkManager:
        manager, recorder = FakeNetworkManager(address), Recorder()
        manager.device(1, "wlan0", YES)
        manager.busy = 2
        async with manager, running(monitor().run(recorder)):
            await recorder.wait_for(lambda event: event == metered("wlan0", True))
        return manager

    assert asyncio.run(story()).calls.count("GetDevices") == 3


def test_network_manager_that_tells_nothing_is_not_available(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitors.networkmanager.STARTING_S", (0.0,))

    async def story() -> str:
        manager = FakeNetworkManager(address)
        manager.busy = 1000
        async with manager:
            why, _ = await not_available(monitor())
            return why

    assert "refuses `GetDevices`" in asyncio.run(story())


def test_a_restart_of_network_manager_takes_nothing_back(address: str) -> None:
    async def story() -> list[Event]:
        manager, recorder = FakeNetworkManager(address), Recorder()
        manager.device(1, "wlan0", YES)
        async with manager, running(MeteredMonitor().run(recorder)):
            await recorder.wait_for(lambda event: event == metered("wlan0", True))
            await manager.stop()
            manager.device(2, "eth0", NO)
            await manager.start()
            await recorder.wait_for(lambda event: event == metered("eth0", False))
        return recorder.events

    assert asyncio.run(story()) == [metered("wlan0", True), metered("eth0", False)]


def test_when_network_manager_ends_nothing_is_known(address: str) -> None:
    async def story() -> tuple[str, list[Event]]:
        manager, recorder = FakeNetworkManager(address), Recorder()
        manager.device(1, "wlan0", YES)
        await manager.start()
        run = asyncio.create_task(monitor().run(recorder))
        await recorder.wait_for(lambda event: event == metered("wlan0", True))
        await manager.stop()
        with pytest.raises(NotAvailableError) as error:
            await asyncio.wait_for(run, 60)
        return str(error.value), recorder.events

    why, events = asyncio.run(story())
    assert why.startswith("NetworkManager is not running")
    assert events == [metered("wlan0", True), metered("wlan0", None)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"Metered": Variant("s", "yes")},
        {"Metered": Variant("b", True)},
        {"IpInterface": Variant("u", 7)},
        {"Interface": Variant("as", ["wlan0"]), "IpInterface": Variant("s", "")},
    ],
)
def test_a_device_that_makes_no_sense_ends_it(address: str, wrong: dict[str, Variant]) -> None:
    async def story() -> str:
        manager = FakeNetworkManager(address)
        manager.devices[manager.device(1, "wlan0", YES)] |= wrong
        async with manager:
            why, _ = await not_available(monitor())
            return why

    assert asyncio.run(story()).startswith("NetworkManager describes a device by ")


def test_what_another_program_says_in_its_name_does_not_count(address: str) -> None:
    async def story() -> list[str]:
        manager, recorder = FakeNetworkManager(address), Recorder()
        liar = FakeNetworkManager(address)
        wlan = manager.device(1, "wlan0", YES)
        async with manager, running(monitor().run(recorder)):
            await recorder.wait_for(lambda event: event == metered("wlan0", True))
            await liar.start()  # the name is taken: it waits for it
            liar.devices[wlan] = {}
            await liar.change(wlan, Metered=Variant("u", NO))
            await liar.add(wlan)
            await liar.stop()
            await manager.add(manager.device(2, "eth0", NO))
            await recorder.wait_for(lambda event: event == metered("eth0", False))
            return manager.calls

    assert asyncio.run(story()).count("GetAll") == 2


@pytest.mark.slow
@pytest.mark.netns
def test_it_follows_the_real_network_manager(tmp_path: Path) -> None:
    alone = [*NAMESPACE, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*alone, sys.executable, "-W", "error", "-m", "tests.monitors.network_manager", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
