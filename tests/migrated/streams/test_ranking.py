"""Gateways in the order of the policy: the daemon's where one runs, else that of the files."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from migrated.streams.addresses import Endpoint, UnixEndpoint
from migrated.streams.outcomes import Outcome, StreamProgramError
from migrated.streams.ranking import described, ranked
from tests.migrated.control_fakes import running_server

A, B, C, OUT = (Endpoint(host, 6448) for host in ("a.example", "b.example", "10.0.0.3", "out"))
TARGET = Endpoint("db.example", 5432)


class World:
    """A configuration with one policy file, and what the user is told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.said: list[str] = []
        (folder / "migrated.toml").write_text(
            'policy = ["*.policy"]\nruntime_folder = "run"\nstate_folder = "state"\n'
        )
        monkeypatch.setenv("MIGRATE_CONFIG", str(folder / "migrated.toml"))
        monkeypatch.setenv("MIGRATE_SOCKET", str(folder / "run" / "control.sock"))

    def policy(self, statements: str) -> None:
        (self.folder / "test.policy").write_text(f"monitor-policy {{\n{statements}\n}}\n")

    def ranked(self, *places: Endpoint, verbose: bool = False) -> tuple[Endpoint, ...]:
        return ranked(places, [TARGET], self.said.append, verbose=verbose)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_without_statements_the_order_is_the_users(world: World) -> None:
    assert world.ranked(B, A, C) == (B, A, C)
    assert world.said == []


def test_scores_make_the_order(world: World) -> None:
    world.policy("score-server *.example 5\nscore-server b.* +1")
    assert world.ranked(C, A, B) == (B, A, C)


def test_gateways_of_one_host_stay_together_in_their_order(world: World) -> None:
    world.policy("score-server b.example 5")
    other = Endpoint("b.example", 7000)
    assert world.ranked(other, A, B) == (other, B, A)


@pytest.mark.parametrize(
    "condition",
    [
        "port 5432",
        "remote-host *.example",
        f"user {getpass.getuser()}",
        'app "migrate"',
        "role client",
        "proto tcp",
    ],
)
def test_statements_may_depend_on_the_destination(world: World, condition: str) -> None:
    world.policy(f"on {condition} score-server b.example 5")
    assert world.ranked(A, B) == (B, A)
    world.policy(f"on l-port 1 {condition} score-server b.example 5")
    assert world.ranked(A, B) == (A, B)


def test_never_leaves_one_out_and_says_where(world: World) -> None:
    world.policy("score-server a.example never")
    assert world.ranked(A, B, verbose=True) == (B,)
    file = world.folder / "test.policy"
    assert world.said == [
        "gateway b.example: `b.example` scores 0: no statement applies",
        f"gateway a.example: `a.example` is ruled out by `never` ({file}:2)",
    ]


def test_it_is_an_error_if_all_are_ruled_out(world: World) -> None:
    world.policy("score-server * never")
    with pytest.raises(
        StreamProgramError, match=r"rules out every gateway: a\.example: `a\.example`"
    ) as caught:
        world.ranked(A, B)
    assert caught.value.outcome is Outcome.UNREACHABLE


def test_a_policy_with_a_mistake_is_said_and_changes_nothing(world: World) -> None:
    world.policy("scor-server * never")
    assert world.ranked(B, A) == (B, A)
    (said,) = world.said
    assert said.startswith("gateways are tried as given, for the policy has a mistake: ")
    assert "test.policy:2: " in said


def test_a_configuration_with_a_mistake_is_wrong_usage(world: World) -> None:
    (world.folder / "migrated.toml").write_text("policy = 7\n")
    with pytest.raises(StreamProgramError, match=r"migrated\.toml:1") as caught:
        world.ranked(A, B)
    assert caught.value.outcome is Outcome.USAGE


def test_a_single_gateway_is_not_judged(world: World) -> None:
    world.policy("score-server * never")
    assert world.ranked(A) == (A,)


def test_a_daemon_is_asked_where_one_runs(world: World) -> None:
    world.policy("score-server a.example 5")
    with running_server(world.folder / "run" / "control.sock", {}) as server:
        assert world.ranked(A, OUT, B, verbose=True) == (B, A)
    (asked,) = server.handler.asked
    assert asked.candidates == ("a.example", "out", "b.example")
    assert asked.destinations == ("db.example:5432",)
    assert world.said[:2] == ["gateway b.example: because", "gateway out: because"]


def test_a_description_says_what_is_known() -> None:
    session = described([TARGET, Endpoint("fd00::1", 1), UnixEndpoint("/run/x")], "ann")
    known = [(c.proto, c.remote_address, c.remote_port, c.remote_hosts) for c in session.connections]
    assert known == [
        ("tcp", "0.0.0.0", 5432, ("db.example",)),
        ("tcp", "fd00::1", 1, ()),
        ("unix", "0.0.0.0", 0, ()),
    ]
    assert {(c.user, c.role) for c in session.connections} == {("ann", "client")}
