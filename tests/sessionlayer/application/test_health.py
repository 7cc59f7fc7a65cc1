"""What a program says of its session's health, and a scripted daemon."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from types import SimpleNamespace

import pytest

import sessionlayer as migrate
from sessionlayer.application import entry, health
from sessionlayer.application.messages import (
    HEALTH_REASON_MAX,
    Denied,
    Ended,
    GetSession,
    KeepAlive,
    RegisterAttachHandler,
)
from tests.sessionlayer.application.fake_daemon import PATIENCE_S, SESSION, FakeDaemon
from tests.sessionlayer.sockets.pairs import streams

Ends = tuple[socket.socket, socket.socket]

WELL = KeepAlive(session=SESSION, healthy=True)
UNWELL = KeepAlive(session=SESSION, healthy=False)


class Clock:
    """The time as the library sees it, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def session(daemon: FakeDaemon, connection: Ends) -> migrate.Session:
    with daemon.asked(lambda: migrate.get_session(connection[0])) as waiting:
        daemon.grant_session()
        return waiting.result(PATIENCE_S)


def expect_nothing_more(daemon: FakeDaemon) -> None:
    """Check that the next thing that the daemon hears is what is said now."""
    with daemon.asked(lambda: migrate.register_attach_handler("radio", print)) as waiting:
        daemon.grant(daemon.expect(RegisterAttachHandler).number)
        waiting.result(PATIENCE_S)


@pytest.mark.usefixtures("clock")
def test_what_is_said_first_is_told_at_once_and_the_same_not_again(
    daemon: FakeDaemon, session: migrate.Session
) -> None:
    for _ in range(1000):
        session.keep_alive()
    assert daemon.expect(KeepAlive) == WELL
    expect_nothing_more(daemon)


def test_the_same_is_told_again_after_a_while(
    daemon: FakeDaemon, session: migrate.Session, clock: Clock
) -> None:
    for _ in range(40):
        session.keep_alive()
        clock.now += health.PAUSE_S / 4
    for _ in range(10):
        assert daemon.expect(KeepAlive) == WELL
    expect_nothing_more(daemon)


@pytest.mark.usefixtures("clock")
def test_a_change_is_told_at_once(daemon: FakeDaemon, session: migrate.Session) -> None:
    session.keep_alive()
    session.report_health(False, "no picture")
    session.report_health(False, "still no picture")
    session.report_health(True)
    assert daemon.expect(KeepAlive) == WELL
    assert daemon.expect(KeepAlive) == KeepAlive(session=SESSION, healthy=False, reason="no picture")
    assert daemon.expect(KeepAlive) == WELL
    expect_nothing_more(daemon)


def test_a_long_reason_is_cut(daemon: FakeDaemon, session: migrate.Session) -> None:
    session.report_health(False, "x" * 1_000_000)
    assert daemon.expect(KeepAlive).reason == "x" * HEALTH_REASON_MAX


def test_a_daemon_that_hears_nothing_holds_nobody_up(
    daemon: FakeDaemon, session: migrate.Session, clock: Clock
) -> None:
    def say_much() -> None:
        for number in range(5000):
            session.report_health(number % 2 == 0)

    thread = threading.Thread(target=say_much, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    heard = 0
    last = UNWELL
    assert daemon._program is not None
    daemon._program.settimeout(0.5)
    try:
        while True:
            last = daemon.expect(KeepAlive)
            heard += 1
    except TimeoutError:
        daemon._program.settimeout(PATIENCE_S)
    assert 0 < heard < 5000
    clock.now += health.PAUSE_S
    session.report_health(not last.healthy)
    assert daemon.expect(KeepAlive).healthy is not last.healthy


def test_a_request_that_waits_for_such_a_daemon_holds_nobody_up_either(
    daemon: FakeDaemon, session: migrate.Session
) -> None:
    for number in range(5000):
        session.report_health(number % 2 == 0)
    with daemon.asked(lambda: migrate.register_attach_handler("radio", print)) as waiting:
        hub = entry.hub()
        while not hub._daemon._sending.locked():
            time.sleep(0.001)
        thread = threading.Thread(target=session.report_health, args=(False, "no picture"), daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert not waiting.done()
        daemon.stop()
        with pytest.raises(migrate.DaemonGoneError):
            waiting.result(PATIENCE_S)


def test_a_daemon_that_comes_back_is_told_again(daemon: FakeDaemon, session: migrate.Session) -> None:
    session.report_health(False, "no picture")
    daemon.expect(KeepAlive)
    daemon.stop()
    session.keep_alive()
    session.report_health(False, "no sound")
    daemon.start()
    daemon.grant_session()
    assert daemon.expect(KeepAlive) == KeepAlive(session=SESSION, healthy=False, reason="no sound")


def test_a_daemon_that_comes_back_is_told_nothing_of_who_has_said_nothing(
    daemon: FakeDaemon, session: migrate.Session
) -> None:
    daemon.stop()
    daemon.start()
    daemon.grant_session()
    expect_nothing_more(daemon)


def test_a_session_that_has_ended_says_nothing(daemon: FakeDaemon, session: migrate.Session) -> None:
    ended = threading.Event()
    session.on_end(lambda session: ended.set())
    daemon.say(Ended(session=SESSION, code="lost", reason="it is gone"))
    assert ended.wait(PATIENCE_S)
    session.keep_alive()
    expect_nothing_more(daemon)


def test_nobody_is_told_where_there_is_no_daemon(daemon: FakeDaemon, connection: Ends) -> None:
    daemon.stop()
    session = migrate.get_session(connection[0], optional=True)
    session.keep_alive()
    session.report_health(False, "no picture")


def test_a_session_in_name_only_says_it_when_it_is_one(daemon: FakeDaemon, connection: Ends) -> None:
    with daemon.asked(lambda: migrate.get_session(connection[0], optional=True)) as waiting:
        asked = daemon.expect(GetSession)
        daemon.say(Denied(number=asked.number, code="not-adopted", reason="not yet"))
        session = waiting.result(PATIENCE_S)
    session.report_health(False, "no picture")
    daemon.grant_session()
    assert daemon.expect(KeepAlive) == KeepAlive(session=SESSION, healthy=False, reason="no picture")


def test_in_an_asyncio_program_it_is_the_same(daemon: FakeDaemon, connection: Ends) -> None:
    async def test() -> None:
        _, writer = await asyncio.open_connection(sock=connection[0])
        asking = asyncio.create_task(migrate.aio_session(writer))
        await asyncio.to_thread(daemon.grant_session)
        session = await asking
        session.keep_alive()
        assert await asyncio.to_thread(daemon.expect, KeepAlive) == WELL
        writer.close()
        await writer.wait_closed()

    asyncio.run(test())


def test_nobody_is_told_of_a_virtual_stream() -> None:
    client, served = streams()
    with client, served:
        for end in (client, served):
            migrate.get_session(end).report_health(False, "no picture")
        client.sendall(b"hello")
        assert served.recv(5) == b"hello"
