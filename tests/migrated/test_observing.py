"""What the daemon says of its monitors, and to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from types import SimpleNamespace
from typing import cast

import pytest

from migrated.control.messages import MISSED, EventList, EventReport, Refused
from migrated.control.observations import MAX_FACTS_TOLD, Events, FactList, Facts, MonitorList, Monitors
from migrated.control.permission import Credentials
from migrated.core import Core
from migrated.observing import FAILED_TO_LOAD, Observations
from migrated.sessions import ManagedSession, SessionTable
from monitors.discovery import Discovery, PluginFailure
from monitors.events import (
    AddressGone,
    AddressPresent,
    Event,
    FactMeasured,
    LinkGone,
    LinkState,
    OperState,
)
from monitors.facts import HEALTHY, HOUR, RTO, RTT, Fact, FactTable
from monitors.host import MonitorHost
from monitors.origins import Kind, Origin
from monitors.spec import NotAvailableError, Report

PATIENCE_S = 60.0
NOW = 1000.0
MINE, THEIRS = "aa" * 16, "bb" * 16
ROOT = Credentials(pid=1, uid=0, gid=0)
ME = Credentials(pid=1, uid=12345, gid=12345)

HOUR_NOW = FactMeasured(fact="hour", value=7.0, measured_at=NOW - 61.0)
RTT_NOW = FactMeasured(
    fact="rtt", value=0.031, interface="wlan0", peer="10.0.0.9", measured_at=NOW - 1.0, lifetime_s=3.0
)
OF_MINE = FactMeasured(fact="healthy", value=True, session=MINE)
OF_THEIRS = FactMeasured(fact="healthy", value=False, session=THEIRS)
OF_NOBODY = FactMeasured(fact="healthy", value=False, session="what a plugin takes for one")


class Scripted:
    """Reports events, then ends as it is told to, or waits."""

    def __init__(
        self,
        name: str,
        events: Iterable[Event],
        facts: tuple[Fact, ...] = (),
        end: Exception | None = None,
    ) -> None:
        self.name, self.facts = name, facts
        self._events, self._end = events, end

    async def run(self, report: Report) -> None:
        for event in self._events:
            report(event)
        if self._end is not None:
            raise self._end
        await asyncio.Event().wait()


def a_session(name: str, uid: int) -> ManagedSession:
    told = SimpleNamespace(
        session_id=bytes.fromhex(name), peer_key=b"peer", uid=uid, socket=SimpleNamespace(inode=0)
    )
    return cast("ManagedSession", told)


def observations(host: MonitorHost, measured: Iterable[FactMeasured] = ()) -> Observations:
    sessions = SessionTable()
    sessions.add(a_session(MINE, ME.uid))
    sessions.add(a_session(THEIRS, ME.uid + 1))
    engine = SimpleNamespace(measured=lambda: tuple(measured))
    core = SimpleNamespace(engine=engine, sessions=sessions, now=lambda: NOW)
    return Observations(cast("Core", core), host, FactTable.of(()))


def is_since(began: float, at: float) -> bool:
    """Return whether a time is between then and now, but for what clocks differ by."""
    return began - 1.0 <= at <= time.time() + 1.0


def facts(measured: Iterable[FactMeasured], who: Credentials, *names: str) -> FactList | Refused:
    answer = observations(MonitorHost(Discovery(monitors=())), measured).handle(Facts(names=names), who)
    assert isinstance(answer, FactList | Refused)
    return answer


def test_values_have_their_unit_age_and_expiry() -> None:
    began = time.time()
    answer = facts((HOUR_NOW, RTT_NOW), ME)
    assert isinstance(answer, FactList)
    hour, rtt = answer.facts
    assert (hour.fact, hour.value, hour.unit, hour.expires_at) == ("hour", 7.0, "", None)
    assert (rtt.interface, rtt.peer, rtt.unit) == ("wlan0", "10.0.0.9", "s")
    assert hour.measured_at is not None
    assert is_since(began, hour.measured_at + 61.0)
    assert rtt.measured_at is not None
    assert rtt.expires_at is not None
    assert is_since(began, rtt.measured_at + 1.0)
    assert rtt.expires_at - rtt.measured_at == pytest.approx(3.0)


def test_what_is_measured_of_a_session_is_for_its_owner_and_root() -> None:
    everything = (HOUR_NOW, OF_MINE, OF_THEIRS, OF_NOBODY)
    seen = {}
    for who in (ME, ROOT):
        answer = facts(everything, who)
        assert isinstance(answer, FactList)
        seen[who.uid] = [row.session for row in answer.facts]
    assert seen == {ME.uid: ["", MINE], ROOT.uid: ["", MINE, THEIRS, OF_NOBODY.session]}


def test_only_the_facts_named_are_told() -> None:
    answer = facts((HOUR_NOW, RTT_NOW, OF_MINE), ME, "rtt", "hour")
    assert isinstance(answer, FactList)
    assert [row.fact for row in answer.facts] == ["hour", "rtt"]
    refused = facts((), ME, "rttt")
    assert isinstance(refused, Refused)
    assert refused.code == "unknown-fact"
    assert refused.reason == "there is no fact `rttt`; did you mean `rtt`?"


def test_sessions_without_number_do_not_crowd_out_the_links() -> None:
    many = [FactMeasured(fact="healthy", value=True, session=f"{n:032x}") for n in range(MAX_FACTS_TOLD + 5)]
    answer = facts([*many, RTT_NOW], ROOT)
    assert isinstance(answer, FactList)
    assert answer.facts[0].fact == "rtt"
    assert (len(answer.facts), answer.omitted) == (MAX_FACTS_TOLD, 6)


async def read(host: MonitorHost, count: int) -> None:
    """Read events, as the daemon does, until there were so many."""
    async for events in host:
        count -= len(events)
        if count <= 0:
            return


def test_every_monitor_is_told_of_and_so_is_every_plugin_that_can_not_be_used() -> None:
    discovery = Discovery(
        monitors=(
            Scripted("clock", (FactMeasured(fact="hour", value=7.0),), (HOUR,)),
            Scripted("health", (OF_THEIRS,), (HEALTHY,)),
            Scripted("power", (), end=NotAvailableError("there is no battery")),
            Scripted("broken", (), end=ValueError("no")),
        ),
        failures=(
            PluginFailure(
                name="weather", reason="ImportError: sky", origin=Origin(Kind.FILE, "/m/weather.py")
            ),
        ),
    )

    async def script() -> dict[int, MonitorList]:
        ended = asyncio.Semaphore(0)

        async def never(_: float) -> None:
            ended.release()
            await asyncio.Event().wait()

        async with MonitorHost(discovery, clock=lambda: NOW, sleep=never) as host:
            await asyncio.wait_for(read(host, 2), PATIENCE_S)
            for _ in ("power", "broken"):
                await asyncio.wait_for(ended.acquire(), PATIENCE_S)
            asked = observations(host)
            answers = {who.uid: asked.handle(Monitors(), who) for who in (ROOT, ME)}
        return {uid: answer for uid, answer in answers.items() if isinstance(answer, MonitorList)}

    began = time.time()
    told = asyncio.run(script())
    clock, health, power, broken, weather = told[ROOT.uid].monitors
    assert (clock.kind, clock.events, clock.facts, clock.troubled) == ("built-in", 1, ("hour",), False)
    assert clock.last_event == "hour = 7"
    assert clock.last_event_at is not None
    assert is_since(began, clock.last_event_at)
    assert (power.state, power.detail, power.troubled) == ("not available", "there is no battery", False)
    assert broken.troubled
    assert broken.last_error.startswith("ValueError: no (test_observing.py, line ")
    assert (weather.state, weather.detail, weather.troubled) == (FAILED_TO_LOAD, "ImportError: sky", True)
    assert (weather.kind, weather.origin) == ("file", "/m/weather.py")
    assert THEIRS in health.last_event
    assert told[ME.uid].monitors[1].last_event == ""
    assert told[ME.uid].monitors[0].last_event == "hour = 7"


LINK = LinkState(interface="eth0", index=2, up=True, carrier=False, operstate=OperState.DOWN)
ADDRESS = AddressPresent(
    interface="eth0", index=2, label="eth0", address="10.0.0.5", prefix_length=24, family=4, usable=True
)
RTO_NOW = FactMeasured(fact="rto", value=0.2, session=MINE, connection="4711", lifetime_s=3.0)
REPORTED = (
    LINK,
    LinkGone(interface="eth1", index=3),
    ADDRESS,
    AddressGone(interface="eth0", index=2, address="10.0.0.6", family=4),
    RTO_NOW,
    OF_THEIRS,
)


def of_host(
    ask: Callable[[Observations], object], later: Iterable[Event] = (), count: int = 3
) -> list[EventReport] | object:
    """Run a host whose monitors have reported, ask, and read what follows if anything does."""

    async def script() -> list[EventReport] | object:
        monitors = (
            Scripted("first", REPORTED[:4]),
            Scripted("second", REPORTED[4:], (RTO, HEALTHY)),
            Scripted("rtt", (), (RTT,)),
        )
        async with MonitorHost(Discovery(monitors=monitors), clock=lambda: NOW) as host:
            await asyncio.wait_for(read(host, len(REPORTED)), PATIENCE_S)
            answer = ask(observations(host))
            return (
                [await anext(answer) for _ in range(count)] if isinstance(answer, AsyncIterator) else answer
            )

    return asyncio.run(script())


def latest(who: Credentials, count: int = 100, *monitors: str) -> list[EventReport]:
    answer = of_host(lambda asked: asked.handle(Events(count=count, monitors=monitors), who))
    assert isinstance(answer, EventList)
    return list(answer.events)


def test_the_latest_events_are_told_field_by_field_and_in_words() -> None:
    began = time.time()
    events = latest(ROOT)
    assert [event.event for event in events] == [
        "link",
        "link-gone",
        "address",
        "address-gone",
        "fact",
        "fact",
    ]
    assert events[0].fields == {
        "monitor": "first",
        "interface": "eth0",
        "up": True,
        "carrier": False,
        "operstate": "down",
        "text": "eth0 has no carrier (down)",
    }
    assert events[4].fields == {
        "monitor": "second",
        "fact": "rto",
        "value": 0.2,
        "unit": "s",
        "session": MINE,
        "connection": "4711",
        "lifetime_s": 3.0,
        "text": f"rto session {MINE} connection 4711 = 0.2 s",
    }
    assert is_since(began, events[0].time)


def test_events_about_a_session_are_for_its_owner_and_root() -> None:
    assert [event.fields.get("session") for event in latest(ME)[-2:]] == [None, MINE]
    assert latest(ROOT)[-1].fields["session"] == THEIRS


def test_as_many_events_as_are_wanted_of_the_monitors_that_are_wanted() -> None:
    assert [event.event for event in latest(ROOT, 2, "first")] == ["address", "address-gone"]
    assert latest(ROOT, 0) == []
    assert latest(ROOT, 5, "rtt") == []
    refused = of_host(lambda asked: asked.handle(Events(count=1, monitors=("frist",)), ROOT))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.reason) == (
        "unknown-monitor",
        "there is no monitor `frist`; did you mean `first`?",
    )


class Late(Scripted):
    """Reports the rest when it is let."""

    def __init__(self, count: int) -> None:
        super().__init__("late", ())
        self.count = count
        self.go = asyncio.Event()

    async def run(self, report: Report) -> None:
        report(LINK)
        await self.go.wait()
        for index in range(self.count):
            report(LinkGone(interface="eth1", index=index + 1))
        await asyncio.Event().wait()


def follow(count: int, first: int) -> list[EventReport]:
    """Follow a monitor that reports one event, and then ``count`` more; return the ``first`` of them."""

    async def script() -> list[EventReport]:
        late = Late(count)
        async with MonitorHost(Discovery(monitors=(late,))) as host:
            await asyncio.wait_for(read(host, 1), PATIENCE_S)
            events = observations(host).handle(Events(count=1, follow=True), ROOT)
            assert isinstance(events, AsyncIterator)
            told = [await anext(events)]
            following = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            late.go.set()
            await asyncio.wait_for(read(host, count), PATIENCE_S)
            told.append(await asyncio.wait_for(following, PATIENCE_S))
            return told + [await anext(events) for _ in range(first - 1)]

    return asyncio.run(script())


def test_following_begins_with_the_latest_and_misses_nothing() -> None:
    assert [event.event for event in follow(3, 3)] == ["link", "link-gone", "link-gone", "link-gone"]


def test_one_who_is_slow_is_told_how_much_was_missed() -> None:
    recent, missed, later = follow(1500, 2)
    assert recent.event == "link"
    assert (missed.event, missed.fields) == (MISSED, {"count": 500})
    assert later.event == "link-gone"
