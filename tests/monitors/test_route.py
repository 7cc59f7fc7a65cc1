from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.discovery import discover
from monitors.events import Event, FactMeasured
from monitors.fib import RoutingTables
from monitors.mailbox import MailboxFullError
from monitors.route import REST, SETTLE_S, Look, RouteMonitor, RouteTable
from monitors.testing import FakeSurroundings, Recorder, check_monitor
from tests.monitors.watched import path

ETH0, WAN0 = (2, "eth0"), (3, "wan0")
PEER = "192.0.2.1"


def default(interface: str, value: bool) -> FactMeasured:
    return FactMeasured(fact="default-route", value=value, interface=interface)


def reachable(interface: str, value: bool | None, peer: str = PEER) -> FactMeasured:
    return FactMeasured(fact="reachable", value=value, interface=interface, peer=peer)


def told(*looks: Look) -> list[list[Event]]:
    """Return what a table reports at each look."""
    table = RouteTable()
    found = []
    for look in looks:
        events: list[Event] = []
        table.take(look, events.append)
        found.append(events)
    return found


def test_links_and_paths_are_told_of_once() -> None:
    look = Look(links={ETH0: True, WAN0: False}, paths={(ETH0, PEER): True})
    assert told(look, look) == [
        [default("eth0", True), default("wan0", False), reachable("eth0", True)],
        [],
    ]


def test_changes_are_told() -> None:
    before = Look(links={ETH0: True}, paths={(ETH0, PEER): True})
    after = Look(links={ETH0: False}, paths={(ETH0, PEER): False})
    assert told(before, after)[1] == [default("eth0", False), reachable("eth0", False)]


def test_a_path_that_is_none_any_more_is_not_known() -> None:
    before = Look(links={ETH0: True}, paths={(ETH0, PEER): True})
    assert told(before, Look(links={ETH0: True}, paths={}), before)[1:] == [
        [reachable("eth0", None)],
        [reachable("eth0", True)],
    ]


def test_of_a_link_that_is_gone_nothing_is_told() -> None:
    before = Look(links={ETH0: True}, paths={(ETH0, PEER): True})
    assert told(before, Look(links={}, paths={}))[1] == []


@pytest.mark.parametrize("back", [(7, "eth0"), (2, "eth1")])
def test_a_link_that_comes_back_or_is_renamed_is_told_of_anew(back: tuple[int, str]) -> None:
    before = Look(links={ETH0: True}, paths={(ETH0, PEER): True})
    after = Look(links={back: True}, paths={(back, PEER): True})
    assert told(before, after)[1] == [default(back[1], True), reachable(back[1], True)]


def test_a_link_that_was_away_between_two_looks_is_told_of_anew() -> None:
    look, table = Look(links={ETH0: True, WAN0: True}, paths={(ETH0, PEER): True}), RouteTable()
    table.take(look, Recorder())
    for gone, expected in (
        (frozenset({2}), [default("eth0", True), reachable("eth0", True)]),
        (frozenset(), []),
        (None, [default("eth0", True), default("wan0", True), reachable("eth0", True)]),
    ):
        events: list[Event] = []
        table.forget(gone)
        table.take(look, events.append)
        assert events == expected


LINKS = st.dictionaries(st.sampled_from([ETH0, WAN0, (4, "eth0")]), st.booleans(), max_size=2).filter(
    lambda links: len({name for _, name in links}) == len(links)
)


@st.composite
def looks(draw: st.DrawFn) -> Look:
    links = draw(LINKS)
    paths = [(link, peer) for link in links for peer in (PEER, "2001:db8::1")]
    seen = draw(st.lists(st.sampled_from(paths), unique=True)) if paths else []
    return Look(links=links, paths={path: draw(st.booleans()) for path in seen})


@given(st.lists(st.tuples(looks(), st.none() | st.integers(0, 4)), max_size=20))
def test_who_hears_the_reports_knows_what_was_seen(steps: list[tuple[Look, int | None]]) -> None:
    """Facts go with their link. What is refused, after so many reports that were not, is reported later."""
    table = RouteTable()
    left: int | None = None
    heard: dict[tuple[tuple[int, str], str, str], object] = {}

    def hear(event: Event) -> None:
        nonlocal left
        assert isinstance(event, FactMeasured)
        if left == 0:
            raise MailboxFullError("full")
        left = None if left is None else left - 1
        link = next(link for link in look.links if link[1] == event.interface)
        assert heard.get((link, event.fact, event.peer)) != event.value
        heard[link, event.fact, event.peer] = event.value

    for look, room in steps:
        left = room
        heard = {key: value for key, value in heard.items() if key[0] in look.links}
        try:
            table.take(look, hear)
        except MailboxFullError:
            continue
        assert {key: value for key, value in heard.items() if value is not None} == {
            **{(link, "default-route", ""): value for link, value in look.links.items()},
            **{(link, "reachable", peer): value for (link, peer), value in look.paths.items()},
        }


class FakeTables:
    """Routing tables that a test sets by hand. ``asked`` are the questions about paths."""

    def __init__(self) -> None:
        self.names = {2: "eth0", 3: "wan0"}
        self.default = {2}
        self.leading = {(PEER, 2, "10.0.0.1")}
        self.deleted: frozenset[int] | None = frozenset()
        self.news = asyncio.Event()
        self.asked: list[tuple[str, int, str]] = []
        self.looked = 0
        self.open = 0

    def __call__(self) -> FakeTables:
        self.open += 1
        return self

    def close(self) -> None:
        self.open -= 1

    async def wait(self) -> None:
        await self.news.wait()

    def gone(self) -> frozenset[int] | None:
        self.news.clear()
        self.looked += 1
        return self.deleted

    def link_names(self) -> dict[int, str]:
        return self.names

    def default_links(self) -> Iterator[set[int]]:
        yield set()
        yield self.default

    def leads_to(self, peer: str, index: int, local: str) -> bool:
        self.asked.append((peer, index, local))
        return (peer, index, local) in self.leading


Scene = Callable[[FakeTables, FakeSurroundings, Recorder, list[float]], Coroutine[None, None, None]]


def play(scene: Scene, *, look_s: float = 0.0) -> None:
    """Run a scene beside the monitor; a look takes ``look_s`` seconds, and pauses take no time."""

    async def run() -> None:
        tables, around, recorder, slept = FakeTables(), FakeSurroundings(), Recorder(), list[float]()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await asyncio.sleep(0)

        monitor = RouteMonitor(around, open_tables=tables, clock=lambda: tables.looked * look_s, sleep=sleep)
        task = asyncio.create_task(monitor.run(recorder))
        await scene(tables, around, recorder, slept)
        task.cancel()
        await asyncio.wait({task})
        assert tables.open == 0

    asyncio.run(run())


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_it_looks_once_a_moment_after_the_first_news() -> None:
    async def scene(
        tables: FakeTables, around: FakeSurroundings, recorder: Recorder, slept: list[float]
    ) -> None:
        await turns()
        assert (recorder.events, tables.looked) == ([default("eth0", True), default("wan0", False)], 1)
        tables.default = {3}
        for _ in range(1000):
            tables.news.set()
        await turns()
        assert recorder.events[2:] == [default("eth0", False), default("wan0", True)]
        assert (tables.looked, slept) == (2, [SETTLE_S])

    play(scene)


def test_a_look_that_takes_long_is_followed_by_a_longer_rest() -> None:
    async def scene(
        tables: FakeTables, around: FakeSurroundings, recorder: Recorder, slept: list[float]
    ) -> None:
        await turns()
        tables.news.set()
        await turns()
        assert slept == [pytest.approx(REST * 0.3)]

    play(scene, look_s=0.3)


def test_it_looks_when_paths_come_and_not_when_others_change() -> None:
    async def scene(
        tables: FakeTables, around: FakeSurroundings, recorder: Recorder, slept: list[float]
    ) -> None:
        await turns()
        around.set()
        await turns()
        assert tables.looked == 1
        around.set(paths=[path("eth0"), path("wan0"), path("ppp0")])
        await turns()
        assert recorder.events[2:] == [reachable("eth0", True), reachable("wan0", False)]
        assert tables.asked == [(PEER, 2, "10.0.0.1"), (PEER, 3, "10.0.0.1")]

    play(scene)


def test_one_of_several_addresses_of_a_link_suffices() -> None:
    async def scene(
        tables: FakeTables, around: FakeSurroundings, recorder: Recorder, slept: list[float]
    ) -> None:
        paths = [path(local=local) for local in ("10.0.0.9", "10.0.0.1", "10.0.0.8")]
        around.set(paths=paths)
        await turns()
        assert recorder.events[2:] == [reachable("eth0", True)]
        tables.leading.clear()
        tables.news.set()
        await turns()
        assert recorder.events[3:] == [reachable("eth0", False)]

    play(scene)


def test_a_failure_of_the_source_is_not_hidden() -> None:
    class Failing(FakeTables):
        async def wait(self) -> None:
            raise OSError(5, "broken")

    async def run() -> None:
        tables = Failing()
        with pytest.raises(OSError, match="broken"):
            await RouteMonitor(FakeSurroundings(), open_tables=tables).run(Recorder())
        assert tables.open == 0

    asyncio.run(run())


def test_a_link_whose_name_cannot_be_shown_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could report a fact about it, and all others would be unknown."""
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (9, "q\udcff"), (10, "q\x1b")])
    with closing(RoutingTables()) as kernel:
        assert kernel.link_names() == {1: "lo"}


def test_it_keeps_the_contract() -> None:
    around = FakeSurroundings()
    around.set(paths=[path()])
    recorder = asyncio.run(check_monitor(lambda: RouteMonitor(around, open_tables=FakeTables()), run_s=0.01))
    assert recorder.events == [default("eth0", True), default("wan0", False), reachable("eth0", True)]


def test_it_is_among_the_built_in_monitors() -> None:
    found = {monitor.name: monitor for monitor in discover(plugins=False).monitors}
    assert isinstance(found["route"], RouteMonitor)
