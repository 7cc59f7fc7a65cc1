from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from monitors.discovery import discover
from monitors.events import Event, FactMeasured
from monitors.facts import LOSS, OUTAGES, RTT
from monitors.mailbox import MailboxFullError
from monitors.probe import ProbeMonitor
from monitors.probing import PROBES_AT_ONCE, Settings
from monitors.surroundings import Solitude, WatchedPath
from monitors.testing import Recorder, check_monitor
from tests.sessionlayer.aio import fake_clock
from tests.sessionlayer.aio.fake_clock import run

PEER = "192.0.2.9"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock jump at once: nothing comes from outside of the loop."""
    monkeypatch.setattr(fake_clock, "PATIENCE_S", 0.0)


class Paths(Solitude):
    """Paths of which some are dead. ``asked`` counts probes, ``most`` those under way at once."""

    def __init__(self, *links: str, settings: dict[str, object] | None = None) -> None:
        super().__init__(settings={"probe": settings or {}})
        self.dead: set[str] = set()
        self.asked = self.under_way = self.most = 0
        self._changed = asyncio.Event()
        self.set(*links)

    def set(self, *links: str, peers: int = 1) -> None:
        """Have these links, the first of them in use."""
        self._paths = tuple(
            WatchedPath(
                interface=link,
                local_address="10.0.0.1",
                peer=f"{PEER}{number or ''}",
                in_use=link == links[0],
            )
            for link in links
            for number in range(peers)
        )
        self._changed.set()
        self._changed = asyncio.Event()

    def paths(self) -> tuple[WatchedPath, ...]:
        return self._paths

    async def changed(self) -> None:
        await self._changed.wait()

    async def probe(self, path: WatchedPath, timeout_s: float) -> float | None:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(timeout_s if path.interface in self.dead else 0.02)
        finally:
            self.under_way -= 1
        return None if path.interface in self.dead else 0.02


class Log:
    """What was reported, and when, on the fake clock."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, FactMeasured]] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, FactMeasured)
        self.heard.append((asyncio.get_running_loop().time(), event))

    def values(self, fact: str, interface: str) -> list[object]:
        return [e.value for _, e in self.heard if (e.fact, e.interface) == (fact, interface)]


def played(paths: Paths, script: Callable[[], Awaitable[None]]) -> Log:
    """Run a monitor for as long as a script takes."""

    async def play() -> Log:
        log = Log()
        task = asyncio.create_task(ProbeMonitor(paths).run(log))
        await script()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert paths.under_way == 0, "no probe outlives its monitor"
        return log

    return run(play())


def test_a_link_that_dies_and_comes_back_is_told_of() -> None:
    paths = Paths("eth0", "ppp0")
    at: list[float] = []

    async def script() -> None:
        await asyncio.sleep(20)
        paths.dead.add("eth0")
        at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(30)
        paths.dead.clear()
        await asyncio.sleep(10)

    log = played(paths, script)
    found = log.values(LOSS.name, "eth0")
    assert found[0] == found[-1] == 0.0
    assert [v for v in found if isinstance(v, float) and v > 0][:10] == [10.0 * n for n in range(1, 11)]
    dead_at = next(when for when, e in log.heard if e.interface == "eth0" and e.value == 80.0)
    assert dead_at - at[0] < 2.5
    assert set(log.values(LOSS.name, "ppp0")) == {0.0}
    assert log.values(RTT.name, "ppp0")[0] == pytest.approx(0.02)


def test_a_link_that_comes_is_probed_and_one_that_goes_is_known_no_longer() -> None:
    paths = Paths("eth0")

    async def script() -> None:
        await asyncio.sleep(10)
        paths.set("ppp0", "eth0")
        await asyncio.sleep(2)
        paths.set("ppp0")
        await asyncio.sleep(0.5)

    log = played(paths, script)
    assert log.values(LOSS.name, "ppp0")[0] == 0.0
    assert log.values(LOSS.name, "eth0")[-1] is None
    assert log.values(RTT.name, "eth0")[-1] is None


def test_without_paths_nothing_is_done() -> None:
    paths = Paths()

    async def script() -> None:
        await asyncio.sleep(3600)

    assert played(paths, script).heard == []
    assert paths.asked == 0


def test_probes_under_way_are_bounded() -> None:
    paths = Paths()
    paths.dead.add("eth0")
    paths.set("eth0", peers=PROBES_AT_ONCE + 50)

    async def script() -> None:
        await asyncio.sleep(30)

    played(paths, script)
    assert paths.most == PROBES_AT_ONCE
    assert paths.asked > 2 * PROBES_AT_ONCE


def test_what_was_refused_is_reported_by_the_next_run() -> None:
    async def both() -> Recorder:
        taking, monitor = Recorder(), ProbeMonitor(Paths("eth0"))
        with pytest.raises(MailboxFullError):
            await monitor.run(Recorder(refuse=True))
        task = asyncio.create_task(monitor.run(taking))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait({task})
        return taking

    assert {e.fact for e in run(both()).events if isinstance(e, FactMeasured)} == {"loss", "outages", "rtt"}


def test_it_keeps_the_contract() -> None:
    async def check() -> None:
        recorder = await check_monitor(
            lambda: ProbeMonitor(Paths("eth0", "ppp0"), Settings(interval=0.2)), run_s=0.5
        )
        assert {(e.fact, e.interface) for e in recorder.events if isinstance(e, FactMeasured)} >= {
            (LOSS.name, "eth0"),
            (RTT.name, "eth0"),
        }
        assert not (await check_monitor(lambda: ProbeMonitor(Solitude()))).events

    run(check())


def test_it_is_found_with_its_settings() -> None:
    found = discover(plugins=False, surroundings=Paths(settings={"interval": 0.5, "idle_interval": 30}))
    assert {LOSS, OUTAGES, RTT} == set(next(one for one in found.monitors if one.name == "probe").facts)
    wrong = discover(plugins=False, surroundings=Paths(settings={"intervall": 1}))
    (failure,) = wrong.failures
    assert "did you mean `interval`?" in failure.reason
