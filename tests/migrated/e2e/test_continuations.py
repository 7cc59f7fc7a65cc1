"""A server that knows Migrate suspends and resumes; its client, an ordinary program, misses no number."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrated.control.continuations import ContinuationReport, ShowContinuation
from sessionlayer.application.messages import (
    MESSAGE_MAX,
    SOCKET_NAME,
    Granted,
    RegisterCompatibility,
    decode_answer,
    encode,
)
from sessionlayer.continuations.values import Tag
from tests.migrated.e2e.arena import Arena, Program
from tests.migrated.e2e.counting import PATIENCE_S, Counts, counts
from tests.migrated.e2e.daemons import POLICY

__all__ = ["counts"]  # a fixture

QUIET_FROM = 10
"""How far the counter of this style counts at first."""

EVERY_USER = ["0", "0", "4294967295"]
"""The map of users outside of user namespaces such as that of `unshare -Ur`, which holds one user only."""

EXPIRING = POLICY.replace("settle 300ms", "on l-port 3901-3909 expire after 5s\n    settle 300ms")


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Return an arena where the sessions of one port expire soon."""
    with Arena(tmp_path_factory.mktemp("arena"), policy=EXPIRING) as arena:
        yield arena
    for daemon in (arena.here, arena.there):
        assert daemon.complaints() == []


def test_a_program_that_keeps_running_is_told_of_both(arena: Arena, counts: Counts) -> None:
    counting = counts("keep")
    for _ in range(2):
        counting.cut()
        counting.plug()
        counting.server.line("resumed")
        counting.progresses()


def test_a_program_goes_on_from_an_internal_continuation(arena: Arena, counts: Counts) -> None:
    counting = counts("internal")
    for _ in range(2):
        counting.cut()
        counting.server.line("granted")
        counting.plug()
        counting.server.line(r"invoked \d+")
        counting.progresses()


def test_a_process_is_started_anew_from_a_complete_continuation(arena: Arena, counts: Counts) -> None:
    counting = counts("complete")
    counting.cut()
    counting.server.line("granted")
    assert counting.server.process.wait(PATIENCE_S) == 0
    counting.plug()
    counting.progresses()


@pytest.mark.parametrize("style", ["internal", "complete"])
def test_a_daemon_that_is_killed_meanwhile_resumes_from_its_store(
    arena: Arena, counts: Counts, style: str
) -> None:
    counting = counts(style)
    counting.cut()
    counting.server.line("granted")
    arena.there.kill()
    arena.there.start()
    if style == "internal":
        counting.server.line("daemon gone")
    counting.plug()
    counting.progresses()


def test_a_daemon_that_stops_demands_what_it_had_spared_a_program(arena: Arena, counts: Counts) -> None:
    counting = counts("lazy")
    counting.cut()
    assert arena.there.stop() == 0
    for line in ("suspended", "granted", "daemon gone"):
        counting.server.line(line)
    arena.there.start()
    counting.plug()
    counting.server.line(r"invoked \d+", PATIENCE_S)
    counting.progresses()


def test_a_handler_that_fails_leaves_its_program_the_connection(arena: Arena, counts: Counts) -> None:
    counting = counts("raise")
    mark = arena.there.mark()
    counting.cut()
    told = arena.there.await_event("handler-amiss", since=mark, session=counting.session)
    assert told.fields["reason"] == "its handler has failed: ValueError: no\nsuch thing"
    assert "its handler has failed" in arena.there.session(counting.session).last_reason
    counting.plug()
    counting.server.line("resumed")
    counting.progresses()


@pytest.mark.slow
def test_a_handler_that_hangs_leaves_its_program_the_connection(arena: Arena, counts: Counts) -> None:
    counting = counts("hang")
    mark = arena.there.mark()
    counting.cut()
    arena.there.await_event("handler-amiss", since=mark, session=counting.session)
    assert "does not answer" in arena.there.session(counting.session).last_reason
    counting.plug()
    counting.server.line("resumed")
    counting.progresses()


def test_a_continuation_of_a_newer_version_is_refused(arena: Arena, counts: Counts) -> None:
    counting = counts("newer")
    counting.cut()
    counting.server.line("denied unreadable")
    counting.plug()
    counting.server.line("resumed")
    counting.progresses()


@pytest.mark.skipif(
    Path("/proc/self/uid_map").read_text().split() != EVERY_USER, reason="needs root and other users"
)
def test_another_user_does_not_get_the_session(arena: Arena, counts: Counts) -> None:
    counting = counts("keep")
    stranger = Program(arena.net.server, [sys.executable, "-c", STRANGER, str(arena.there.folder / "run")])
    stranger.line("denied permission")
    stranger.line("denied unknown-session")
    assert stranger.result()[0] == 0
    counting.progresses()


STRANGER = """
import os, socket, sys
from sessionlayer.application.messages import GetSession, RegisterHandler, decode_answer, encode
with socket.create_server(("127.0.0.1", 0)) as listener:
    sock = socket.create_connection(listener.getsockname())
    os.chdir(sys.argv[1])
    os.setresuid(1000, 1000, 1000)
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    daemon.connect("application.sock")
    socket.send_fds(daemon, [encode(GetSession(number=1))], [sock.fileno()])
    print("denied", decode_answer(daemon.recv(65536)).code, flush=True)
    daemon.send(encode(RegisterHandler(number=2, session=bytes(16))))
    print("denied", decode_answer(daemon.recv(65536)).code, flush=True)
"""


def test_the_counter_of_the_examples_goes_on(arena: Arena, counts: Counts) -> None:
    """The library and the daemon understand each other."""
    counting = counts("example")
    mark = arena.there.mark()
    for link in arena.links:
        link.cut()
    arena.there.await_event("given-up", since=mark, session=counting.session)
    counting.plug()
    arena.there.await_event("invoked", since=mark, session=counting.session)
    counting.progresses()


def test_a_program_that_sends_nothing_is_told_too(arena: Arena, counts: Counts) -> None:
    counting = counts("quiet")
    counting.client.await_received(QUIET_FROM - 1)
    mark = arena.there.mark()
    counting.cut()
    told = arena.there.await_event("suspended", since=mark, session=counting.session)
    # The links go one after the other: the peer may have asked to move in between.
    assert told.fields["because"] in (
        ["the peer is silent and its kernel does not answer"],
        ["the peer was about to move and is silent"],
    )
    counting.plug()
    counting.server.line("resumed")
    counting.progresses()


def test_a_silent_daemon_alone_suspends_nothing(arena: Arena, counts: Counts) -> None:
    """An idle connection whose path works is left alone, however silent its peer's daemon is."""
    counts("quiet").client.await_received(QUIET_FROM - 1)
    mark = arena.there.mark()
    arena.here.kill()
    try:
        arena.there.await_event("peer-silent", since=mark)
        time.sleep(4.0)  # three probes, and some more
        assert arena.there.since(mark, "suspended") == []
    finally:
        arena.here.start()


def test_what_has_changed_is_reported_before_anything_is_lost(arena: Arena, counts: Counts) -> None:
    counting = counts("picky")
    counting.cut()
    counting.server.line("granted")
    offer(arena, Tag("lib", "libcount", "2.0"))
    mark = arena.there.mark()
    counting.plug()
    reason = "incompatible: lib `libcount` is `2.0` now: `1.0` is required"
    arena.there.await_event("refused", since=mark, session=counting.session, reason=reason)
    assert reason in arena.there.session(counting.session).last_reason
    shown = arena.there.ask(ShowContinuation(session=counting.session))
    assert isinstance(shown, ContinuationReport)
    assert shown.differs
    counting.server.line(f"waiting {reason}")
    offer(arena, Tag("lib", "libcount", "1.0"))
    counting.server.line(r"invoked \d+")
    counting.progresses()


@pytest.mark.parametrize(
    ("style", "port", "last"),
    [("internal", "3901", ""), ("cleaning", "3902", "cleaned-up"), ("telling", "3903", "cleaned-up")],
)
def test_a_session_that_expires_ends_everywhere(
    arena: Arena, counts: Counts, style: str, port: str, last: str
) -> None:
    counting = counts(style, port)
    counting.cut()
    counting.server.line("granted")
    if last:
        counting.server.line(rf"{last} \d+")
    if style != "telling":
        counting.server.line("ended expired")
    arena.there.await_event("ended", session=counting.session)
    assert counting.session not in {session.id[:8] for session in arena.there.sessions()}
    mark = arena.here.mark()
    counting.plug()
    arena.here.await_event("ended", since=mark, session=counting.session)


def offer(arena: Arena, tag: Tag) -> None:
    """Say what the server offers to the counter, as another process of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as daemon:
        daemon.connect(str(arena.there.folder / "run" / SOCKET_NAME))
        daemon.send(encode(RegisterCompatibility(number=1, program="counter", tags=(tag,))))
        assert isinstance(decode_answer(daemon.recv(MESSAGE_MAX)), Granted)
