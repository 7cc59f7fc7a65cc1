from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from monitors.discovery import discover
from monitors.events import Event, FactMeasured
from monitors.facts import HEALTHY, KEEPALIVE_AGE
from monitors.keepalive import KeepaliveMonitor
from monitors.surroundings import Solitude
from monitors.testing import Recorder, check_monitor
from tests.monitors.neighbours import Neighbours, after_a_refusal
from tests.sessionlayer.aio import fake_clock
from tests.sessionlayer.aio.fake_clock import run


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock jump at once: nothing comes from outside of the loop."""
    monkeypatch.setattr(fake_clock, "PATIENCE_S", 0.0)


def played(script: Callable[[Neighbours], Awaitable[None]]) -> tuple[list[FactMeasured], Neighbours]:
    """Run a monitor for as long as a script takes, and return what it reported."""
    events: list[FactMeasured] = []

    def report(event: Event) -> None:
        assert isinstance(event, FactMeasured)
        events.append(event)

    async def play() -> Neighbours:
        neighbours = Neighbours()
        task = asyncio.create_task(KeepaliveMonitor(neighbours).run(report))
        await script(neighbours)
        task.cancel()
        await asyncio.wait({task})
        return neighbours

    return events, run(play())


def values(events: list[FactMeasured], fact: str, session: str = "s1") -> list[object]:
    return [event.value for event in events if (event.fact, event.session) == (fact, session)]


def test_programs_that_are_well_are_told_of_once() -> None:
    names = [f"s{number}" for number in range(1000)]

    async def script(neighbours: Neighbours) -> None:
        for turn in range(60):
            for name in names:
                neighbours.say(name, quietly=turn > 0)
            await asyncio.sleep(1)

    events, neighbours = played(script)
    assert len(events) == 2000
    assert values(events, HEALTHY.name, "s7") == [True]
    assert values(events, KEEPALIVE_AGE.name, "s7") == [0.0]
    assert neighbours.looks <= 130, "two looks a second at the most"


def test_a_program_that_says_nothing_grows_silent_in_steps() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.say("s1")
        await asyncio.sleep(4.5)
        neighbours.say("s1")
        await asyncio.sleep(2.2)

    events, _ = played(script)
    assert values(events, KEEPALIVE_AGE.name) == [0.0, 1.5, 2.0, 2.5, 3.0, 4.0, 0.0, 1.5, 2.0]
    assert values(events, HEALTHY.name) == [True]


def test_a_program_that_is_unwell_is_told_of_at_once_and_its_age_grows() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.say("s1")
        await asyncio.sleep(1)
        neighbours.say("s1", healthy=False)
        await asyncio.sleep(0.05)
        looks = neighbours.looks
        for _ in range(2):
            await asyncio.sleep(0.5)
            neighbours.say("s1", healthy=False, quietly=True)
        assert looks == 2
        await asyncio.sleep(0.2)
        neighbours.say("s1")
        await asyncio.sleep(0.2)

    events, _ = played(script)
    assert values(events, HEALTHY.name) == [True, False, True]
    assert values(events, KEEPALIVE_AGE.name) == [0.0, 1.5, 2.0, 0.0]


def test_a_session_of_which_nothing_is_known_any_more_is_told_of() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.say("s1", healthy=False)
        await asyncio.sleep(1)
        del neighbours.said["s1"]
        neighbours.set()
        await asyncio.sleep(3600)
        neighbours.say("s1", healthy=False)
        await asyncio.sleep(0.2)

    events, neighbours = played(script)
    assert values(events, HEALTHY.name) == [False, None, False]
    assert values(events, KEEPALIVE_AGE.name) == [0.0, None, 0.0]
    assert neighbours.looks == 3


def test_one_that_goes_as_another_comes_is_told_of() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.say("s1")
        await asyncio.sleep(1)
        del neighbours.said["s1"]
        neighbours.say("s2")
        await asyncio.sleep(0.2)

    events, _ = played(script)
    assert values(events, HEALTHY.name) == [True, None]
    assert values(events, KEEPALIVE_AGE.name) == [0.0, None]
    assert values(events, KEEPALIVE_AGE.name, "s2") == [0.0]


def test_a_word_that_grows_old_ends_with_the_monitor() -> None:
    async def script(neighbours: Neighbours) -> None:
        neighbours.say("s1")
        await asyncio.sleep(61)

    events, _ = played(script)
    limits = {event.value: event.lifetime_s for event in events}
    assert limits[0.0] is limits[True] is None
    assert (limits[1.5], limits[60.0]) == (10.0, 90.0)


def test_what_was_refused_is_reported_by_the_next_run() -> None:
    async def both() -> Recorder:
        neighbours = Neighbours()
        neighbours.say("s1")
        return await after_a_refusal(KeepaliveMonitor(neighbours))

    assert len(run(both()).events) == 2


def test_it_keeps_the_contract() -> None:
    async def check() -> None:
        neighbours = Neighbours()
        neighbours.say("s1")
        recorder = await check_monitor(lambda: KeepaliveMonitor(neighbours))
        assert len(recorder.events) == 2
        assert not (await check_monitor(lambda: KeepaliveMonitor(Solitude()))).events

    run(check())


def test_it_is_found() -> None:
    found = discover(plugins=False, surroundings=Solitude())
    assert next(one for one in found.monitors if one.name == "keepalive").facts == (KEEPALIVE_AGE, HEALTHY)
