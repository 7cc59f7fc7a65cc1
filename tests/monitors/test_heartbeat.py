from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from monitors.discovery import discover
from monitors.events import Event, FactMeasured
from monitors.facts import PEER_SILENCE
from monitors.heartbeat import HeartbeatMonitor
from monitors.surroundings import Solitude
from monitors.testing import Recorder, check_monitor
from tests.monitors.neighbours import Neighbours, after_a_refusal
from tests.sessionlayer.aio import fake_clock
from tests.sessionlayer.aio.fake_clock import run


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock jump at once: nothing comes from outside of the loop."""
    monkeypatch.setattr(fake_clock, "PATIENCE_S", 0.0)


BEAT_S = 1.0

Script = Callable[[Neighbours], Awaitable[None]]


class Log:
    """What was reported, and when, on the fake clock."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, str, object]] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, FactMeasured)
        assert event.fact == PEER_SILENCE.name
        self.heard.append((asyncio.get_running_loop().time(), event.session, event.value))

    def values(self, session: str) -> list[object]:
        return [value for _, about, value in self.heard if about == session]

    def when(self, session: str, value: object) -> float:
        return next(at for at, about, found in self.heard if (about, found) == (session, value))


def played(script: Script) -> tuple[Log, Neighbours]:
    """Run a monitor for as long as a script takes."""

    async def play() -> tuple[Log, Neighbours]:
        neighbours, log = Neighbours(), Log()
        task = asyncio.create_task(HeartbeatMonitor(neighbours).run(log))
        await script(neighbours)
        task.cancel()
        await asyncio.wait({task})
        return log, neighbours

    return run(play())


async def beat(neighbours: Neighbours, *peers: str, times: int) -> None:
    for _ in range(times):
        for peer in peers:
            neighbours.hear(peer)
        await asyncio.sleep(BEAT_S)


def test_nothing_is_reported_of_a_peer_that_is_heard() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.hear("b", "s1", "s2")
        await beat(neighbours, "b", times=600)

    log, neighbours = played(script)
    assert [(about, value) for _, about, value in log.heard] == [("s1", 0.0), ("s2", 0.0)]
    assert neighbours.looks <= 1300, "two looks for each heartbeat at the most"


def test_a_silent_peer_is_known_within_3_s_and_once_for_each_step() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.hear("b", "s1")
        neighbours.hear("c", "s2")
        await beat(neighbours, "b", "c", times=10)
        await beat(neighbours, "c", times=11)

    log, _ = played(script)
    assert log.values("s1") == [0.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
    assert log.values("s2") == [0.0]
    assert 2.0 <= log.when("s1", 2.0) - log.when("s1", 0.0) - 9 * BEAT_S < 2.3


def test_a_peer_that_is_heard_again_is_no_more_silent_within_half_a_second() -> None:
    back_at = 0.0

    async def script(neighbours: Neighbours) -> None:
        nonlocal back_at
        neighbours.hear("b", "s1")
        await asyncio.sleep(3700)
        neighbours.hear("b")
        back_at = asyncio.get_running_loop().time()
        await beat(neighbours, "b", times=3)

    log, _ = played(script)
    assert log.values("s1")[-3:] == [2700.0, 3600.0, 0.0]
    assert len(log.heard) == 27
    assert 0 <= log.heard[-1][0] - back_at <= 0.6


def test_a_session_that_begins_later_is_told_of_at_once() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.hear("b", "s1")
        await asyncio.sleep(4.2)
        neighbours.sessions["b"] = ("s1", "s2")
        neighbours.set()
        await asyncio.sleep(0.2)

    log, _ = played(script)
    assert log.values("s2") == [4.0]


def test_a_session_that_ends_is_forgotten() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.hear("b", "s1", "s2")
        await asyncio.sleep(1)
        neighbours.hear("b", "s2")
        await asyncio.sleep(1)
        neighbours.sessions.clear()
        neighbours.set()
        await asyncio.sleep(3600)

    log, neighbours = played(script)
    assert log.values("s1") == [0.0, None]
    assert log.values("s2") == [0.0, None]
    assert neighbours.looks <= 6, "it is woken when there are peers again"


def test_many_sessions_of_a_peer_are_seen_together() -> None:
    names = tuple(f"s{number}" for number in range(1000))

    async def script(neighbours: Neighbours) -> None:
        neighbours.hear("b", *names)
        for _ in range(100):
            neighbours.set()
            await asyncio.sleep(0.001)
        await asyncio.sleep(3500)

    log, neighbours = played(script)
    assert len(log.heard) == 1000 * 25
    assert neighbours.looks < 7100


def test_its_word_ends_with_it() -> None:
    events: list[Event] = []

    async def listen() -> None:
        neighbours = Neighbours()
        neighbours.hear("b", "s1")
        task = asyncio.create_task(HeartbeatMonitor(neighbours).run(events.append))
        await asyncio.sleep(2.2)
        task.cancel()
        await asyncio.wait({task})

    run(listen())
    assert [event.lifetime_s for event in events if isinstance(event, FactMeasured)] == [None, 10.0, 10.0]


def test_what_was_refused_is_reported_by_the_next_run() -> None:
    async def both() -> Recorder:
        neighbours = Neighbours()
        neighbours.hear("b", "s1")
        return await after_a_refusal(HeartbeatMonitor(neighbours))

    assert len(run(both()).events) == 1


def test_it_keeps_the_contract() -> None:
    async def check() -> None:
        neighbours = Neighbours()
        neighbours.hear("b", "s1")
        recorder = await check_monitor(lambda: HeartbeatMonitor(neighbours))
        assert len(recorder.events) == 1
        assert not (await check_monitor(lambda: HeartbeatMonitor(Solitude()))).events

    run(check())


def test_it_is_found() -> None:
    found = discover(plugins=False, surroundings=Solitude())
    assert PEER_SILENCE in next(one for one in found.monitors if one.name == "heartbeat").facts
