"""When programs are told what the peer exports: with the resumption if it comes soon, and never twice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrated.applications import exports
from migrated.applications.exports import Exports
from migrated.applications.refusal import RefusedError
from migrated.control.permission import Credentials
from sessionlayer.application.messages import Export, Granted, Imported
from sessionlayer.continuations.values import Continuation

SESSION = bytes(16)


@dataclass
class FakeAssociation:
    """What an association knows of one session."""

    exported: dict[str, bytes] | None = None
    there: dict[str, bytes] | None = None
    pending: bool = False
    told: int = 0

    def export(self, session_id: bytes, values: dict[str, bytes]) -> None:
        self.exported = values

    def tell_exported(self, session_id: bytes, now: float) -> None:
        self.told += 1

    def imported(self, session_id: bytes) -> dict[str, bytes] | None:
        return self.there

    def imports_pending(self, session_id: bytes) -> bool:
        return self.pending


@dataclass(eq=False)
class FakeClient:
    who: Credentials = field(default_factory=lambda: Credentials(pid=1, uid=0, gid=0))
    heard: list[Any] = field(default_factory=list)

    def tell(self, message: Any) -> None:
        self.heard.append(message)


class Bench:
    """One session, and the programs that know of it."""

    def __init__(self, *, associated: bool = True) -> None:
        self.association = FakeAssociation()
        self.peer = SimpleNamespace(association=self.association)
        self.session: Any = SimpleNamespace(session_id=SESSION, uid=0, peer=self.peer if associated else None)
        core = SimpleNamespace(
            sessions=SimpleNamespace(of_id={SESSION: self.session}.get),
            now=lambda: 0.0,
            perform=lambda peer, commands: None,
        )
        self.exports = Exports(cast("Any", core))
        self.client: Any = FakeClient()
        self.went_on = 0

    def export(self, **values: bytes) -> None:
        self.exports.take(self.client, Export(number=1, session=SESSION, values=values))

    def live(self) -> None:
        self.exports.tell(self.session, self._go_on)

    def _go_on(self) -> None:
        self.went_on += 1

    def arrive(self, **values: bytes) -> None:
        self.association.there, self.association.pending = values, False
        self.exports.arrived(self.session)


def test_what_is_exported_is_told_when_the_session_goes_on() -> None:
    bench = Bench()
    bench.export(a=b"1")
    assert (bench.association.exported, bench.association.told) == ({"a": b"1"}, 0)
    assert bench.client.heard == [Granted(number=1)]
    bench.live()
    assert (bench.association.told, bench.went_on) == (1, 1)


def test_what_is_exported_without_an_association_waits_for_one() -> None:
    bench = Bench(associated=False)
    bench.export(a=b"1")
    bench.live()
    assert bench.went_on == 1
    bench.session.peer = bench.peer
    bench.live()
    assert bench.association.exported == {"a": b"1"}


def test_what_breaks_a_bound_is_refused() -> None:
    bench = Bench()
    with pytest.raises(RefusedError, match="exported"):
        bench.export(a=bytes(20_000))
    with pytest.raises(RefusedError, match="no session"):
        bench.exports.take(bench.client, Export(number=1, session=b"?" * 16, values={}))


def test_a_continuation_found_on_disk_changes_nothing_that_is_newer() -> None:
    continuation = Continuation(function="f", attributes={"a": b"old"}, exported=frozenset({"a"}))
    bench = Bench()
    bench.exports.carried_before(bench.session, continuation)
    assert bench.association.exported == {"a": b"old"}
    bench.export(a=b"new")
    bench.exports.carried_before(bench.session, continuation)
    assert bench.association.exported == {"a": b"new"}
    bench.exports.carried(bench.session, continuation)
    assert bench.association.exported == {"a": b"old"}


def test_a_resumption_waits_for_what_is_announced_and_no_longer() -> None:
    async def scenario() -> None:
        bench = Bench()
        assert bench.exports.imported(bench.session, bench.client) is None
        bench.association.pending = True
        bench.live()
        assert bench.went_on == 0
        bench.arrive(a=b"1")
        assert bench.client.heard == [Imported(session=SESSION, values={"a": b"1"})]
        assert bench.went_on == 1
        bench.arrive(a=b"2")
        assert bench.went_on == 1

    asyncio.run(scenario())


def test_what_does_not_come_in_time_delays_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        bench, went_on = Bench(), asyncio.Event()
        bench.association.pending = True
        bench.exports.tell(bench.session, went_on.set)
        await went_on.wait()
        bench.arrive(a=b"1")

    monkeypatch.setattr(exports, "WAIT_S", 0.0)
    asyncio.run(scenario())


def test_nobody_is_told_of_a_resumption_that_is_over() -> None:
    async def scenario() -> None:
        for over in ("hold_back", "forget"):
            bench = Bench()
            bench.association.pending = True
            bench.live()
            getattr(bench.exports, over)(SESSION)
            bench.arrive(a=b"1")
            assert bench.went_on == 0

    asyncio.run(scenario())


def test_a_program_that_went_away_is_not_told() -> None:
    bench = Bench()
    other: Any = FakeClient()
    for client in (bench.client, other):
        bench.exports.imported(bench.session, client)
    bench.exports.gone(other)
    bench.arrive(a=b"1")
    assert (len(bench.client.heard), other.heard) == (1, [])
    assert bench.exports.imported(bench.session, other) == {"a": b"1"}
