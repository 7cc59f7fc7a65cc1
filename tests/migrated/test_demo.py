from __future__ import annotations

import io
import os
import queue
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Connection, Engine, SessionDescription
from migrated.control.messages import EventReport
from migrated.demo.daemon import Heard
from migrated.demo.director import OUTCOME_LIMIT_S, AdoptionError, Director
from migrated.demo.flow import CHUNK_BYTES, Feeder, GapMeter, Pace, Receiver, chunks
from migrated.demo.report import Performance, SceneResult, make_report
from migrated.demo.scenario import LINKS, SCENES, Deed, Outcome, Scene, Step, expected_moves, stretched
from migrated.demo.stage import FIGURE10
from migrated.demo.timeline import PlainTimeline, Rate
from migrated.demo.traffic import Delivery, Traffic, TrafficError, start_first
from migrated.demo.words import describe, reasons
from monitors.events import AddressGone, AddressPresent, LinkState, OperState
from policylang import load_policy
from tests.processes import killed_at_last

ROOT = Path(__file__).parents[2]


# The scenes and the policy.


def test_the_policy_of_the_demonstration_is_figure_10_letter_for_letter() -> None:
    shipped = ROOT / "migrated" / "demo" / FIGURE10
    assert shipped.read_bytes() == (ROOT / "examples" / FIGURE10).read_bytes()


class World:
    """An engine that knows only Figure 10, and the client's links as the deeds of the scenes leave them."""

    def __init__(self, port: int) -> None:
        policy = load_policy([ROOT / "examples" / FIGURE10], with_defaults=True).policy
        assert policy is not None
        self.engine = Engine(policy)
        self.indexes: dict[str, int] = {}
        for name in LINKS:
            self.do(Step(deed=Deed.APPEAR, link=name))
        connection = Connection(
            proto="tcp",
            local_address=self.address(LINKS[0]),
            local_port=40000,
            remote_address="18.31.0.9",
            remote_port=port,
        )
        description = SessionDescription(id="s", connections=(connection,))
        self.engine.add_session(description, (LINKS[0], self.address(LINKS[0])), 0.0)

    def address(self, link: str) -> str:
        return f"10.{self.indexes[link]}.0.2"

    def do(self, step: Step) -> None:
        index = self.indexes.setdefault(step.link, len(self.indexes) + 1)
        if step.deed in (Deed.CUT, Deed.PLUG, Deed.APPEAR):
            carrier = step.deed is not Deed.CUT
            state = OperState.UP if carrier else OperState.LOWER_LAYER_DOWN
            event = LinkState(interface=step.link, index=index, up=True, carrier=carrier, operstate=state)
            self.engine.handle(event, 0.0)
        address = self.address(step.link)
        if step.deed is Deed.WITHDRAW:
            gone = AddressGone(interface=step.link, index=index, address=address, family=4)
            self.engine.handle(gone, 0.0)
        if step.deed in (Deed.CONFIGURE, Deed.APPEAR):
            present = AddressPresent(
                interface=step.link,
                index=index,
                label=step.link,
                address=address,
                prefix_length=24,
                family=4,
                usable=True,
            )
            self.engine.handle(present, 0.0)


@pytest.mark.parametrize("port", [22, 8000])
def test_every_scene_ends_as_figure_10_says(port: int) -> None:
    world = World(port)
    for scene in SCENES:
        for step in scene.steps:
            world.do(step)
        winner = world.engine.explain("s", 0.0).winner
        if scene.outcome is Outcome.SUSPENDED:
            assert winner is None, scene.title
            world.engine.session_suspended("s", 0.0)
            continue
        assert winner is not None, scene.title
        assert scene.link in (None, winner.name), scene.title
        world.engine.session_moved("s", winner.key, 0.0)


def test_the_scenes_show_what_was_promised() -> None:
    assert expected_moves(SCENES) >= 4
    assert {step.deed for scene in SCENES for step in scene.steps} == set(Deed)
    assert {scene.outcome for scene in SCENES} == set(Outcome)


@given(st.floats(min_value=1, max_value=1000))
def test_stretched_scenes_keep_their_proportions(seconds: float) -> None:
    scenes = stretched(SCENES, seconds)
    assert sum(scene.least_s for scene in scenes) == pytest.approx(seconds)
    ratios = {round(new.least_s / old.least_s, 6) for new, old in zip(scenes, SCENES, strict=True)}
    assert max(ratios) - min(ratios) <= 2e-6
    assert [scene.title for scene in scenes] == [scene.title for scene in SCENES]


# The flow.


def test_the_meter_gives_the_longest_pause_and_counts_one_that_goes_on() -> None:
    meter = GapMeter(0.0)
    for now in (1.0, 1.5, 4.5, 5.0):
        meter.arrived(now)
    assert meter.take(5.1) == 3.0
    assert meter.take(7.0) == pytest.approx(1.9)  # nothing came at all
    meter.arrived(7.25)
    assert meter.take(9.0) == 1.75


@given(st.lists(st.integers(min_value=1, max_value=10**6), min_size=1, max_size=50), st.floats(1e3, 1e9))
def test_a_pace_keeps_its_rate(sizes: list[int], rate: float) -> None:
    pace, now = Pace(rate), 100.0
    for size in sizes:
        now += pace.pause_s(size, now)
    assert now - 100.0 == pytest.approx(sum(sizes) / rate)


def test_a_pace_does_not_make_good_for_a_pause() -> None:
    pace = Pace(1000.0)
    assert pace.pause_s(1000, 0.0) == 1.0
    assert pace.pause_s(1000, 50.0) == 1.0


def test_no_two_chunks_are_equal() -> None:
    some = list(islice(chunks(), 100))
    assert len(set(some)) == 100
    assert {len(chunk) for chunk in some} == {CHUNK_BYTES}


def test_what_is_fed_is_received() -> None:
    started = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with killed_at_last(started) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        feeder, receiver = Feeder(cat.stdin, Pace(1e9)), Receiver(cat.stdout)
        feeder.start()
        receiver.start()
        while receiver.received_bytes < 10 * CHUNK_BYTES:
            assert receiver.is_alive()
        feeder.stop()
        feeder.join()
        receiver.join()
    assert receiver.received_bytes == feeder.sent_bytes >= 10 * CHUNK_BYTES
    assert receiver.sha256() == feeder.sha256()


def test_a_feeder_says_that_its_program_is_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", 0) as stream:
        feeder = Feeder(stream, Pace(1e9))
        feeder.run()
    assert feeder.complaint == "the program takes no more data: Broken pipe"


def test_the_rate_is_that_of_the_last_moments() -> None:
    rate = Rate()
    assert [rate.of(now, total) for now, total in ((1.0, 100), (2.0, 100), (3.0, 140))] == [100.0, 0.0, 40.0]


# The words.


def heard(event: str, host: str = "client", at: float = 0.0, **fields: Any) -> Heard:
    return Heard(host=host, report=EventReport(time=at, event=event, fields=fields))


def test_a_move_is_told_with_the_lines_that_made_it() -> None:
    because = [
        "`ppp0` scores 5 (/tmp/x y/policy/figure10.policy:5)",
        "it is the best (a.policy:12)",
        "plain (no)",
    ]
    moved = heard("moved", program="ssh", came_from="eth0", to="ppp0", stopped_ms=1.04, because=because)
    assert describe(moved) == "client: moved eth0 -> ppp0, ssh stood still for 1.0 ms"
    assert reasons(moved)[1:] == ("it is the best (a.policy:12)", "plain (no)")
    assert describe(heard("associated", peer="x")) is None
    assert reasons(heard("link-up", link="eth0")) == ()


def test_the_folder_of_a_policy_is_left_out() -> None:
    move = heard("moved", because=["`ppp0` scores 5 (/tmp/migrate-demo-x/policy/figure10.policy:5)"])
    assert reasons(move) == ("`ppp0` scores 5 (figure10.policy:5)",)


# The director, with a daemon that answers as it should, or doesn't.


class FakeTraffic:
    name, description = "fake", "nothing"
    received_bytes = 0

    def __init__(self) -> None:
        self.flowing = True
        self.meter = GapMeter(0.0)

    def finish(self, timeout_s: float) -> Delivery:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class FakeStage:
    """Its daemon does at once what the scene expects, but for the scenes that ``deaf`` names."""

    def __init__(self, scenes: tuple[Scene, ...], deaf: tuple[Scene, ...] = (), adopts: bool = True) -> None:
        self.now = 0.0
        self.dies_at = float("inf")
        self.traffic = FakeTraffic()
        self.scenes = list(scenes)
        self.deaf = deaf
        self.reports = [heard("adopted", session="s", program="ssh", link="eth0")] if adopts else []
        self.performed: list[Step] = []

    @property
    def heard(self) -> FakeStage:
        return self

    def get(self, *, timeout: float) -> Heard:
        if self.reports:
            return self.reports.pop(0)
        self.now += timeout
        self.traffic.flowing = self.now < self.dies_at
        raise queue.Empty

    def clock(self) -> float:
        return self.now

    def perform(self, step: Step) -> None:
        self.performed.append(step)
        if step != self.scenes[0].steps[-1]:
            return
        scene = self.scenes.pop(0)
        if scene not in self.deaf:
            fields: dict[str, Any] = {
                "program": "ssh",
                "came_from": "x",
                "to": scene.link,
                "stopped_ms": 1.5,
                "because": ["y"],
            }
            self.reports += [
                heard(scene.outcome.value, session="other", **fields),
                heard(scene.outcome.value, "server", session="s", **fields),
                heard(scene.outcome.value, session="s", at=self.now, **fields),
            ]


def play(stage: FakeStage) -> Performance:
    with PlainTimeline(io.StringIO()) as timeline:
        return Director(stage, stage.traffic, timeline, stage.clock).run(tuple(stage.scenes))


SHORT = (*SCENES[:2], *SCENES[6:])


def test_the_director_counts_the_moves_of_its_own_session_and_times_the_outage() -> None:
    stage = FakeStage(SHORT)
    performance = play(stage)
    assert performance.moves == 3
    assert stage.performed == [step for scene in SHORT for step in scene.steps]
    assert performance.suspended_s == pytest.approx(SCENES[6].least_s, abs=0.2)
    assert [scene.outcome for scene in performance.scenes] == ["moved", "moved", "suspended", "resumed"]
    assert [scene.gap_ms is None for scene in performance.scenes] == [False, False, True, False]
    assert performance.scenes[0].stopped_ms == 1.5
    assert performance.scenes[0].because == ("y",)


def test_a_scene_without_its_outcome_ends_all_the_same_and_is_reported() -> None:
    stage = FakeStage(SHORT[:2], deaf=SHORT[:1])
    performance = play(stage)
    assert [scene.outcome for scene in performance.scenes] == ["", "moved"]
    assert OUTCOME_LIMIT_S < stage.now < 2 * OUTCOME_LIMIT_S


def test_a_program_that_has_ended_ends_the_scenes() -> None:
    stage = FakeStage(SCENES, deaf=SCENES)
    stage.dies_at = 3.0
    assert [scene.outcome for scene in play(stage).scenes] == [""] * len(SCENES)
    assert stage.now < 3.5


def test_a_connection_that_is_left_alone_is_a_failure() -> None:
    with pytest.raises(AdoptionError, match="did not adopt"):
        play(FakeStage(SCENES, adopts=False))


# The report.

GOOD_SCENE = SceneResult(
    title="t", outcome="moved", link="eth0", decided_ms=1.0, stopped_ms=1.0, gap_ms=9.5, because=()
)
GOOD = Delivery(bytes=10, sha256_equal=True, exit_status=0, complaint="")


def judged(delivery: Delivery = GOOD, moves: int = 7, outcome: str = "moved") -> tuple[bool, tuple[str, ...]]:
    bad = SceneResult(
        title="it rains", outcome=outcome, link="", decided_ms=None, stopped_ms=None, gap_ms=2.0, because=()
    )
    performance = Performance(scenes=(GOOD_SCENE, bad), moves=moves, suspended_s=4.0, usual_gap_ms=1.0)
    report = make_report("ssh", performance, delivery, expected=7, seconds=20.0)
    assert report.gaps_ms == (9.5, 2.0)
    assert report.largest_gap_ms == 9.5
    return report.ok, report.failures


def test_a_report_is_good_only_if_nothing_is_missing() -> None:
    differs = Delivery(bytes=10, sha256_equal=False, exit_status=0, complaint="")
    failed = Delivery(bytes=10, sha256_equal=True, exit_status=255, complaint="Connection reset")
    stuck = Delivery(bytes=10, sha256_equal=True, exit_status=None, complaint="")
    assert judged() == (True, ())
    assert judged(moves=6) == (False, ("6 moves were made, 7 were expected",))
    assert judged(outcome="") == (False, ("nothing came of it that it rains",))
    assert judged(differs) == (False, ("what was received is not what was sent",))
    assert judged(failed) == (False, ("the program ended with status 255: Connection reset",))
    assert judged(stuck) == (False, ("the program did not come to its end",))


# The traffic.


def test_the_next_kind_of_traffic_is_tried_and_the_reason_told() -> None:
    traffic, told = FakeTraffic(), list[str]()

    def no_ssh() -> Traffic:
        raise TrafficError("`sshd` was not found")

    assert start_first([no_ssh, lambda: traffic], told.append) is traffic
    assert told == ["`sshd` was not found; trying the next kind of traffic"]
    with pytest.raises(TrafficError, match="`sshd` was not found"):
        start_first([no_ssh, no_ssh], told.append)
