"""Sessions suspend and resume with those that they depend on, and never the other way round."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrated import hands
from migrated.applications.dependents import Dependents
from migrated.applications.refusal import RefusedError
from migrated.kernel.errors import RebindError
from migrated.sessions import Condition


@dataclass(eq=False)
class FakeSession:
    """A session in name only."""

    session_id: bytes
    condition: Condition = Condition.LIVE
    frozen: bool = False
    departing: object = None

    @property
    def short(self) -> str:
        return self.session_id.hex()[:8]

    @property
    def name(self) -> str:
        return self.session_id.hex()


@dataclass
class Bench:
    """Sessions 0, 1, 2, ... of a daemon that parks without a kernel."""

    count: int
    suspended: list[FakeSession] = field(default_factory=list)
    judged_anew: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = [FakeSession(bytes([number]) * 16) for number in range(self.count)]
        by_id = {session.session_id: session for session in self.sessions}
        core = SimpleNamespace(
            sessions=SimpleNamespace(of_id=by_id.get),
            engine=SimpleNamespace(session_suspended=lambda name, now: self.judged_anew.append(name)),
            now=lambda: 0.0,
            suspend=self.suspend,
            tell_refused=lambda session, reason: self.refused.append(reason),
        )
        self.dependents = Dependents(cast("Any", core))

    def add(self, child: int, parent: int) -> None:
        self.dependents.add(cast("Any", self.sessions[child]), cast("Any", self.sessions[parent]))

    def suspend(self, session: FakeSession, because: tuple[str, ...] = ()) -> None:
        """Do what the daemon's core does."""
        session.condition, session.frozen = Condition.SUSPENDED, True
        self.suspended.append(session)
        self.dependents.suspend(cast("Any", session))

    def obstacle(self, number: int, *together: int) -> str:
        ids = {self.sessions[other].session_id for other in together}
        return self.dependents.obstacle(cast("Any", self.sessions[number]), ids)


@pytest.fixture(autouse=True)
def park(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands, "locate_one", lambda session: None)
    monkeypatch.setattr(hands, "park", lambda session, connection: None)


def test_children_are_suspended_with_their_parent_and_before_each_other() -> None:
    bench = Bench(4)
    bench.add(1, 0)
    bench.add(2, 1)
    bench.suspend(bench.sessions[0])
    assert bench.suspended[1:] == [bench.sessions[2], bench.sessions[1]]
    assert bench.sessions[3].condition is Condition.LIVE


def test_a_parent_is_not_suspended_with_its_child() -> None:
    bench = Bench(2)
    bench.add(1, 0)
    bench.suspend(bench.sessions[1])
    assert bench.sessions[0].condition is Condition.LIVE


def test_a_chain_may_be_longer_than_the_stack_is_deep() -> None:
    bench = Bench(256)
    for number in range(1, 256):
        bench.add(number, number - 1)
    bench.suspend(bench.sessions[0])
    assert len(bench.suspended) == 256


def test_a_child_waits_for_its_parent_unless_both_go_on_together() -> None:
    bench = Bench(2)
    bench.add(1, 0)
    bench.suspend(bench.sessions[0])
    assert bench.obstacle(1) == "session 00000000, which it depends on, is suspended"
    assert bench.obstacle(1, 0, 1) == ""
    assert bench.obstacle(0) == ""


def test_children_are_judged_anew_when_their_parent_goes_on_or_ends() -> None:
    bench = Bench(2)
    bench.add(1, 0)
    bench.suspend(bench.sessions[0])
    bench.sessions[0].frozen = False
    bench.dependents.resume(cast("Any", bench.sessions[0]))
    assert bench.judged_anew == [bench.sessions[1].name]
    bench.dependents.forget(cast("Any", bench.sessions[0]))
    assert bench.judged_anew == [bench.sessions[1].name] * 2
    bench.sessions[0].frozen = True
    assert bench.obstacle(1) == ""


def test_one_that_depends_on_a_suspended_session_is_suspended_at_once() -> None:
    bench = Bench(2)
    bench.suspend(bench.sessions[0])
    bench.add(1, 0)
    assert bench.sessions[1].condition is Condition.SUSPENDED


def test_a_cycle_is_refused() -> None:
    bench = Bench(2)
    bench.add(1, 0)
    with pytest.raises(RefusedError, match="it would depend on itself") as refused:
        bench.add(0, 1)
    assert refused.value.code == "cycle"


def test_a_child_that_cannot_be_parked_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: object, connection: object) -> None:
        raise RebindError("no")

    monkeypatch.setattr(hands, "park", fail)
    bench = Bench(2)
    bench.add(1, 0)
    bench.suspend(bench.sessions[0])
    assert bench.sessions[1].condition is Condition.LIVE
    assert bench.refused == ["no"]
