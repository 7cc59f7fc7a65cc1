"""The rules of probing, in a world of made-up paths where waiting takes no time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count, groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.events import FactMeasured
from monitors.probing import ANSWER_S, CALM_PER_S, OUTAGES_S, PROBES_AT_ONCE, WINDOW, Prober, Settings
from monitors.surroundings import WatchedPath

PEER = "192.0.2.9"
LEAVE = 80.0
"""The loss at which the shipped policy leaves a link."""

Net = Callable[[WatchedPath, float], float | None]
"""Return how long the answer takes to a probe that is sent then, or ``None`` if none comes."""


def path(interface: str, *, in_use: bool = False, peer: str = PEER, local: str = "10.0.0.1") -> WatchedPath:
    return WatchedPath(interface=interface, local_address=local, peer=peer, in_use=in_use)


BOTH = (path("eth0", in_use=True), path("ppp0"))


def always(rtt_s: float) -> Net:
    return lambda _path, _now: rtt_s


def dead(interface: str, since: float, until: float = float("inf"), rtt_s: float = 0.01) -> Net:
    """Return a net in which a link (or every one: ``*``) is dead for a while."""
    return lambda p, now: None if interface in (p.interface, "*") and since <= now < until else rtt_s


class World:
    """A prober, the answers under way, and all that it said."""

    def __init__(self, *paths: WatchedPath, settings: Settings = Settings()) -> None:  # noqa: B008 - frozen
        self.prober = Prober(settings)
        self.now = 0.0
        self.sent: list[tuple[float, WatchedPath]] = []
        self.said: list[tuple[float, FactMeasured]] = []
        self._under_way: list[tuple[float, int, int, float | None]] = []
        self._order = count()
        self.watch(*paths)

    def watch(self, *paths: WatchedPath) -> None:
        self.prober.watch(paths, self.now)

    def run(self, net: Net, until: float) -> None:
        while True:
            for probe in self.prober.advance(self.now):
                self.sent.append((self.now, probe.path))
                rtt_s = net(probe.path, self.now)
                rtt_s = rtt_s if rtt_s is not None and rtt_s < ANSWER_S else None
                at = self.now + (ANSWER_S if rtt_s is None else rtt_s)
                heapq.heappush(self._under_way, (at, next(self._order), probe.number, rtt_s))
            self.said += [(self.now, event) for event in self.prober.news(self.now)]
            due = self.prober.next_deadline()
            times = [at for at in (due, self._under_way[0][0] if self._under_way else None) if at is not None]
            if not times or min(times) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            while self._under_way and self._under_way[0][0] <= self.now:
                _, _, number, rtt_s = heapq.heappop(self._under_way)
                if rtt_s is None:
                    self.prober.unanswered(number)
                else:
                    self.prober.answered(number, rtt_s, self.now)

    def values(self, fact: str, interface: str) -> list[tuple[float, object]]:
        return [(at, e.value) for at, e in self.said if (e.fact, e.interface) == (fact, interface)]

    def when(self, fact: str, interface: str, wanted: Callable[[float], bool], since: float = 0.0) -> float:
        found = self.values(fact, interface)
        return next(at for at, v in found if at >= since and isinstance(v, float) and wanted(v))

    def worst(self, interface: str, since: float = 0.0) -> float:
        found = [v for at, v in self.values("loss", interface) if at >= since and isinstance(v, float)]
        return max(found, default=0.0)

    def counted(self, interface: str, since: float, until: float) -> int:
        return sum(since <= at < until and p.interface == interface for at, p in self.sent)


def test_at_rest_a_path_in_use_is_probed_every_second_and_another_every_five() -> None:
    world = World(*BOTH)
    world.run(always(0.01), 60)
    assert 58 <= world.counted("eth0", 0, 60) <= 61
    assert 11 <= world.counted("ppp0", 0, 60) <= 13
    for interface in ("eth0", "ppp0"):
        assert {value for _, value in world.values("loss", interface)} == {0.0}
        assert {value for _, value in world.values("rtt", interface)} == {0.01}
        again = [later - earlier for (earlier, _), (later, _) in pairwise(world.values("rtt", interface))]
        assert min(again) >= 7.5, "a word is repeated only so that it does not run out"


def test_a_word_never_runs_out_while_it_is_confirmed() -> None:
    world = World(*BOTH)
    world.run(always(0.01), 120)
    for interface in ("eth0", "ppp0"):
        events = [(at, e.lifetime_s) for at, e in world.said if (e.fact, e.interface) == ("loss", interface)]
        for (earlier, lifetime_s), (later, _) in pairwise(events):
            assert lifetime_s is not None
            assert later - earlier < lifetime_s


@pytest.mark.parametrize("rtt_s", [0.001, 0.05, 0.1])
@pytest.mark.parametrize("died", [20.0, 20.3, 20.6, 20.99])
def test_a_dead_link_is_known_in_time_for_3_s(rtt_s: float, died: float) -> None:
    world = World(*BOTH)
    world.run(dead("eth0", died, rtt_s=rtt_s), died + 10)
    assert world.when("loss", "eth0", lambda v: v >= LEAVE) - died < 3.0 - 3 * rtt_s - 0.1
    assert world.worst("ppp0") == 0
    assert world.values("loss", "eth0")[-1][1] == 100.0


def test_a_dead_link_that_is_not_in_use_is_known_too_and_probed_no_more_than_before() -> None:
    world = World(*BOTH)
    world.run(dead("ppp0", 20), 80)
    assert world.when("loss", "ppp0", lambda v: v >= LEAVE) < 20 + 5 + 2.5
    assert world.worst("eth0") == 0
    assert world.counted("ppp0", 40, 80) <= 9
    assert world.counted("eth0", 40, 80) <= 41


def test_a_link_that_works_again_is_known_within_seconds() -> None:
    world = World(*BOTH)
    world.run(dead("eth0", 20, 60), 90)
    assert world.when("loss", "eth0", lambda v: v <= 10, since=60) < 60 + 1 + 2
    assert world.values("loss", "eth0")[-1][1] == 0.0


def test_a_daemon_that_answers_nowhere_says_nothing_of_links_nor_when_it_is_back() -> None:
    for died in (20.0, 20.37, 20.73, 20.99):
        for back in (21.5, 22.0, 25.0, 40.0, 100.0):
            world = World(*BOTH)
            world.run(dead("*", died, back), back + 20)
            for interface in ("eth0", "ppp0"):
                assert world.worst(interface) < 50, (died, back)
            assert world.values("loss", "eth0")[-1][1] == 0.0


def test_a_silent_daemon_is_probed_without_hurry_and_its_facts_run_out() -> None:
    world = World(*BOTH)
    world.run(dead("*", 20), 320)
    assert world.counted("eth0", 30, 320) <= 291
    assert max(at for at, _ in world.values("loss", "eth0")) < 25


def test_where_all_links_were_dead_the_first_that_works_is_known_soon() -> None:
    def net(p: WatchedPath, now: float) -> float | None:
        return 0.01 if now < 20 or (now >= 60 and p.interface == "ppp0") else None

    world = World(*BOTH)
    world.run(net, 80)
    assert world.when("loss", "eth0", lambda v: v >= LEAVE) < 60 + 1 + 2
    assert world.worst("ppp0", since=65) == 0


def test_of_a_path_that_never_answered_nothing_is_said() -> None:
    world = World(*BOTH)
    world.run(dead("ppp0", 0), 60)
    assert world.values("loss", "ppp0") == world.values("rtt", "ppp0") == []
    assert world.worst("eth0") == 0
    assert world.counted("ppp0", 0, 60) <= 13


def test_a_queue_that_fills_delays_and_loses_nothing() -> None:
    def bloated(p: WatchedPath, now: float) -> float:
        return 0.9 if p.interface == "eth0" and now >= 20 else 0.02

    world = World(*BOTH)
    world.run(bloated, 60)
    assert world.worst("eth0") < LEAVE
    late = world.when("loss", "eth0", lambda v: v >= 50)
    assert world.when("loss", "eth0", lambda v: v <= 10, since=late) - late < 1.0, "late answers count"
    assert world.worst("eth0", since=25) == 0
    assert world.when("rtt", "eth0", lambda v: v > 0.8) < 27


@pytest.mark.parametrize(("share", "most"), [(0.01, 40), (0.05, 60)])
def test_random_loss_is_measured_and_moves_nothing(share: float, most: float) -> None:
    drawn = random.Random(7)
    world = World(*BOTH)
    world.run(lambda _p, _n: None if drawn.random() < share else 0.02, 1800)
    for interface in ("eth0", "ppp0"):
        assert 10 <= world.worst(interface) <= most


def test_the_only_path_is_measured_as_well() -> None:
    drawn = random.Random(7)
    world = World(path("eth0", in_use=True))
    world.run(always(0.02), 60)
    assert world.counted("eth0", 0, 60) <= 13, "where there is no choice there is no hurry"
    world.run(lambda _p, _n: None if drawn.random() < 0.2 else 0.02, 120)
    assert 10 <= world.worst("eth0") <= 70


def test_the_round_trip_is_smoothed_and_told_when_it_matters() -> None:
    drawn = random.Random(7)
    world = World(*BOTH)
    world.run(lambda _p, _n: 0.05 + drawn.uniform(-0.002, 0.002), 20)
    assert len({value for _, value in world.values("rtt", "eth0")}) <= 3
    world.run(always(0.2), 60)
    (last,) = [v for at, v in world.values("rtt", "eth0") if at == world.values("rtt", "eth0")[-1][0]]
    assert isinstance(last, float)
    assert last == pytest.approx(0.2, rel=0.1)
    world.run(always(0.0004), 200)
    tiny = len(world.values("rtt", "eth0"))
    world.run(always(0.0009), 215)
    assert len(world.values("rtt", "eth0")) <= tiny + 2, "less than a millisecond is no news"


def test_what_is_gone_is_known_no_longer_and_begins_anew() -> None:
    world = World(*BOTH)
    world.run(dead("eth0", 20), 40)
    world.watch(BOTH[1])
    world.run(always(0.01), 45)
    assert world.values("loss", "eth0")[-1][1] is None
    assert world.values("rtt", "eth0")[-1][1] is None
    world.watch(*BOTH)
    world.run(always(0.01), 50)
    assert world.values("loss", "eth0")[-1][1] == 0.0


def test_another_address_on_a_link_is_another_network() -> None:
    world = World(*BOTH)
    world.run(dead("eth0", 20), 40)
    world.watch(path("eth0", in_use=True, local="10.7.0.1"), BOTH[1])
    world.run(dead("eth0", 0), 60)
    assert world.values("loss", "eth0")[-1][1] is None, "it has not answered from there yet"


def test_one_address_of_a_link_is_probed_for_each_peer() -> None:
    world = World(path("eth0", in_use=True), path("eth0", local="10.0.0.2"), path("eth0", peer="192.0.2.10"))
    world.run(always(0.01), 60)
    assert {(p.peer, p.local_address) for _, p in world.sent} == {
        (PEER, "10.0.0.1"),
        ("192.0.2.10", "10.0.0.1"),
    }


def test_many_paths_are_spread_and_probed_less_often() -> None:
    peers = [f"10.9.{number // 200}.{number % 200}" for number in range(250)]
    world = World(
        *(path(link, in_use=link == "eth0", peer=peer) for peer in peers for link in ("eth0", "ppp0"))
    )
    world.run(always(0.01), 60)
    assert world.counted("eth0", 30, 60) + world.counted("ppp0", 30, 60) <= CALM_PER_S * 30 * 1.1
    tenths = [sum(at <= sent < at + 0.1 for sent, _ in world.sent) for at in (30.0, 31.3, 32.7, 33.9)]
    assert max(tenths) <= CALM_PER_S


def test_no_more_probes_are_under_way_than_allowed() -> None:
    peers = [f"10.9.{number // 200}.{number % 200}" for number in range(600)]
    world = World(*(path("eth0", peer=peer) for peer in peers))
    world.run(dead("*", 0), 1.9)
    assert len(world.sent) == PROBES_AT_ONCE


def test_what_was_not_reported_is_reported_next_time() -> None:
    world = World(path("eth0", in_use=True))
    (probe,) = world.prober.advance(0.0)
    world.prober.answered(probe.number, 0.01, 0.01)
    news = world.prober.news(0.01)
    first = next(news)
    news.close()
    assert next(world.prober.news(0.01)) == first
    assert [e.fact for e in world.prober.news(0.01)] == ["loss", "outages", "rtt"]
    assert list(world.prober.news(0.01)) == []


@given(st.data())
def test_whatever_answers_come_loss_is_a_share_of_ten_and_nothing_is_left_over(data: st.DataObject) -> None:
    world = World(*BOTH)
    answers = data.draw(st.lists(st.none() | st.floats(0.001, 3.0), min_size=1, max_size=60))
    drawn = iter(answers * 50)
    world.run(lambda _p, _n: next(drawn, 0.01), 20)
    for interface in ("eth0", "ppp0"):
        for _, value in world.values("loss", interface):
            assert value in {100.0 * lost / WINDOW for lost in range(WINDOW + 1)}
    world.watch()
    world.run(always(0.01), 30)
    assert world.prober.next_deadline() is None
    last = {(e.fact, e.interface): e.value for _, e in world.said}
    assert set(last.values()) <= {None}


def test_outages_are_counted_once_each_and_for_ten_minutes() -> None:
    world = World(*BOTH)
    world.run(always(0.01), 20.0)
    assert [value for _, value in world.values("outages", "eth0")][-1] == 0.0
    for begun in (20.0, 60.0, 100.0):
        world.run(dead("eth0", begun, begun + 20.0), begun + 40.0)
    told = [value for _, value in world.values("outages", "eth0")]
    assert [value for value, _ in groupby(told)] == [0.0, 1.0, 2.0, 3.0]
    world.run(always(0.01), 30.0 + OUTAGES_S)
    assert world.values("outages", "eth0")[-1][1] == 2.0
    world.run(always(0.01), 110.0 + OUTAGES_S)
    assert world.values("outages", "eth0")[-1][1] == 0.0
    assert {value for _, value in world.values("outages", "ppp0")} == {0.0}


def test_a_link_that_loses_a_few_and_a_daemon_that_is_dead_have_no_outages() -> None:
    world = World(*BOTH)
    world.run(always(0.01), 20.0)
    world.run(dead("*", 20.0, 60.0), 120.0)
    some = random.Random(7)
    world.run(lambda _path, _now: None if some.random() < 0.05 else 0.01, 400.0)
    assert {value for _, value in world.values("outages", "eth0")} <= {0.0, None}
