"""A connection that a busy server accepts after the client's daemon has offered it becomes a session, too."""

from __future__ import annotations

import signal
import sys
import time

from migrated.adopt import NOT_HERE
from migrated.lab import SERVER_V4
from tests.migrated.e2e.arena import Arena, Program

PORT, HUNG_PORT = 2990, 2991
HUNG = 600
"""Twice as many as a daemon has under way with a peer at once, and more."""

LATE_S = 1.0
"""Two looks of a daemon, which offers what it sees."""

ADOPTED_S = 25.0
"""Less than the time after which a connection that was refused is offered again."""


def test_it_is_offered_again_before_long(arena: Arena) -> None:
    arena.session_of().finish()  # an association that is still to be made would take its time as well
    mark, mark_there = arena.here.mark(), arena.there.mark()
    server = Program(arena.net.server, [sys.executable, "-c", _SERVER, str(PORT)])
    server.line("listening")
    client = Program(arena.net.client, [sys.executable, "-c", _CLIENT, SERVER_V4, str(PORT)])
    client.line("connected")
    time.sleep(LATE_S)
    server.process.send_signal(signal.SIGUSR1)
    peer = f"{SERVER_V4}:{PORT}"
    session = arena.here.await_event("adopted", since=mark, timeout_s=ADOPTED_S, peer=peer).fields["session"]
    arena.there.await_event("adopted", since=mark_there, session=session)
    assert arena.here.since(mark, "left-alone", peer=SERVER_V4) == []
    for program in (client, server):
        program.process.kill()
        program.process.wait()


def test_what_nobody_accepts_keeps_nothing_else_waiting(arena: Arena) -> None:
    arena.session_of().finish()
    mark = arena.here.mark()
    hung = Program(arena.net.server, [sys.executable, "-c", _HUNG, str(HUNG_PORT)])
    hung.line("listening")
    crowd = Program(arena.net.client, [sys.executable, "-c", _CROWD, SERVER_V4, str(HUNG_PORT), str(HUNG)])
    crowd.line("connected")
    time.sleep(LATE_S)
    begun = time.monotonic()
    talk = arena.session_of()
    assert time.monotonic() - begun < ADOPTED_S
    told = arena.here.await_event("left-alone", since=mark)
    assert told.fields["peer"] == SERVER_V4
    assert told.fields["reason"] == NOT_HERE
    talk.finish()
    for program in (crowd, hung):
        program.process.kill()
        program.process.wait()


_HUNG = """
import signal, socket, sys
with socket.create_server(("", int(sys.argv[1])), backlog=1024) as listener:
    print("listening", flush=True)
    signal.pause()
"""

_CROWD = """
import signal, socket, sys
socks = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
print("connected", flush=True)
signal.pause()
"""

_SERVER = """
import signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
with socket.create_server(("", int(sys.argv[1]))) as listener:
    print("listening", flush=True)
    signal.sigwait([signal.SIGUSR1])
    sock, _ = listener.accept()
    sock.recv(1)
"""

_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    print("connected", flush=True)
    sock.recv(1)
"""
