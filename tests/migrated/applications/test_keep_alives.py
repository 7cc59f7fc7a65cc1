"""What the daemon keeps of what programs say of their sessions' health."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrated.applications.keep_alives import PAUSE_S, KeepAlives
from migrated.sessions import Condition
from monitors.surroundings import KeepAlive
from sessionlayer.application.messages import HEALTH_REASON_MAX
from sessionlayer.application.messages import KeepAlive as Message
from sessionlayer.continuations.values import CONNECTION, Continuation
from tests.migrated.applications.programs import Program
from tests.migrated.applications.test_notify import SESSION, Bench, play


class Room:
    """A table of sessions, a clock, and what was told to whom."""

    def __init__(self) -> None:
        self.now = 100.0
        self.changes = 0
        self.told: list[tuple[str, str]] = []
        self.sessions: dict[bytes, Any] = {}
        core = SimpleNamespace(
            now=lambda: self.now,
            sessions=SimpleNamespace(of_id=self.sessions.get),
            journal=SimpleNamespace(tell=self.tell),
        )
        self.table = KeepAlives(cast("Any", core), self.changed)

    def changed(self) -> None:
        self.changes += 1

    def tell(self, name: str, *, reason: str, **_: object) -> None:
        self.told.append((name, reason))

    def session(self, number: int = 1, condition: Condition = Condition.LIVE) -> Any:
        session = SimpleNamespace(
            session_id=bytes([number]), condition=condition, uid=0, short="s", program="p"
        )
        self.sessions[session.session_id] = session
        return session

    def say(self, session: Any, *, healthy: bool = True, reason: str = "", after_s: float = 1.0) -> None:
        self.now += after_s
        self.table.say(session, healthy=healthy, reason=reason)


def kept(session: bytes, *, healthy: bool, well_at: float) -> KeepAlive:
    return KeepAlive(session=session.hex(), healthy=healthy, well_at=well_at)


def test_a_program_that_is_well_wakes_nobody() -> None:
    room = Room()
    session = room.session()
    for _ in range(100):
        room.say(session)
    assert room.changes == 1, "its first word"
    assert room.table.all() == (kept(b"\x01", healthy=True, well_at=200.0),)
    assert room.told == []


def test_one_that_was_not_heard_for_a_while_wakes_who_waits() -> None:
    room = Room()
    session = room.session()
    room.say(session)
    room.say(session, after_s=1.4)
    assert room.changes == 1
    room.say(session, after_s=1.6)
    assert room.changes == 2


def test_one_that_is_unwell_stays_as_old_as_it_was_well() -> None:
    room = Room()
    session = room.session()
    room.say(session)
    room.say(session, healthy=False, reason="no picture")
    room.say(session, healthy=False, reason="still no picture")
    assert room.table.all() == (kept(b"\x01", healthy=False, well_at=101.0),)
    room.say(session)
    assert room.table.all() == (kept(b"\x01", healthy=True, well_at=104.0),)
    assert room.told == [("unwell", "no picture"), ("well", "")]
    assert room.changes == 3


def test_one_that_was_never_well_grows_old_from_its_first_word_on() -> None:
    room = Room()
    session = room.session()
    room.say(session, healthy=False)
    room.say(session, healthy=False)
    assert room.table.all() == (kept(b"\x01", healthy=False, well_at=101.0),)
    assert room.told == [("unwell", "")]


def test_one_that_cannot_decide_is_passed_on_twice_a_second_and_with_its_last_word() -> None:
    room = Room()
    session = room.session()
    for number in range(1001):
        room.say(session, healthy=number % 2 == 0, reason=str(number), after_s=0.01)
        if number % 50 == 0:
            room.table.check()
    assert room.changes <= 10.01 / PAUSE_S + 1
    room.say(session, healthy=False, reason="the end", after_s=0.0)
    room.now += PAUSE_S
    room.table.check()
    assert room.told[-1] == ("unwell", "the end")
    changes = room.changes
    room.now += PAUSE_S
    room.table.check()
    assert room.changes == changes


def test_a_long_reason_is_cut() -> None:
    room = Room()
    room.say(room.session(), healthy=False, reason="x" * 60_000)
    assert room.told == [("unwell", "x" * HEALTH_REASON_MAX)]


def test_nothing_is_known_of_a_suspended_session_and_its_age_begins_anew() -> None:
    room = Room()
    session = room.session()
    room.say(session)
    room.table.suspended(session)
    assert room.table.all() == ()
    room.now = 500.0
    room.say(session, healthy=False)
    assert room.table.all() == ()
    room.table.live(session)
    assert room.table.all() == (kept(b"\x01", healthy=False, well_at=501.0),)
    assert room.changes == 4
    room.table.live(session)
    assert room.changes == 4, "a move is nothing that it would care for"


def test_one_that_speaks_first_when_it_is_suspended_is_known_when_it_goes_on() -> None:
    room = Room()
    session = room.session(condition=Condition.SUSPENDED)
    room.say(session)
    assert room.table.all() == ()
    room.table.live(session)
    assert len(room.table.all()) == 1


def test_a_session_that_has_ended_is_forgotten() -> None:
    room = Room()
    first, second = room.session(1), room.session(2)
    room.say(first, healthy=False, after_s=0.0)
    room.say(second, healthy=False, after_s=0.0)
    room.say(first, after_s=0.1)
    room.table.forget(first)
    del room.sessions[first.session_id]
    room.now += 10
    room.table.check()
    assert [one.session for one in room.table.all()] == ["02"]
    assert len(room.told) == 2


def test_who_never_says_anything_is_not_known() -> None:
    room = Room()
    session = room.session()
    room.table.suspended(session)
    room.table.live(session)
    assert (room.table.all(), room.changes) == ((), 0)


# Through the socket, as programs say it.

WELL = Message(session=SESSION, healthy=True)


async def known(bench: Bench) -> tuple[KeepAlive, ...]:
    async with asyncio.timeout(60):
        while not (found := bench.applications.keep_alives.all()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
    return found


def test_a_program_is_heard_and_gets_no_answer(tmp_path: Path) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        someone.say(WELL)
        assert [one.session for one in await known(bench)] == [SESSION.hex()]
        bench.suspend()
        assert bench.applications.keep_alives.all() == ()
        bench.resume()
        assert len(bench.applications.keep_alives.all()) == 1
        bench.end()
        assert bench.applications.keep_alives.all() == ()

    play(tmp_path, "ignore resume lazy", script)


def test_of_a_session_that_was_given_up_nothing_is_known_until_who_goes_on_speaks(tmp_path: Path) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        someone.say(Message(session=SESSION, healthy=False))
        await known(bench)
        bench.suspend()
        bench.applications._given_up(bench.session, Continuation(descriptors=(CONNECTION,)))
        bench.resume()
        assert bench.applications.keep_alives.all() == ()

    play(tmp_path, "", script)


@pytest.mark.parametrize("what", ["another's", "none"])
def test_who_speaks_of_a_session_that_is_not_its_own_is_refused(tmp_path: Path, what: str) -> None:
    async def script(bench: Bench, someone: Program) -> None:
        session = SESSION if what == "another's" else b"\xff" * 16
        bench.session.uid = 4711 if what == "another's" else os.getuid()
        someone.say(Message(session=session, healthy=False, reason="mine"))
        answer: Any = await someone.hear()
        assert (answer.number, answer.code) == (0, "permission" if what == "another's" else "unknown-session")
        assert bench.applications.keep_alives.all() == ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("migrated.control.permission.Credentials.privileged", False)
        play(tmp_path, "", script)
