"""A connection that a busy server accepts after the client's daemon has offered it becomes a session, too."""

from __future__ import annotations

import signal
import sys
import time

from migrated.lab import SERVER_V4
from tests.migrated.e2e.arena import Arena, Program

PORT = 2990
LATE_S = 1.0
"""Two looks of a daemon, which offers what it sees."""

ADOPTED_S = 25.0
"""Less than the time after which a connection that was refused is offered again."""


def test_it_need_not_be_offered_again(arena: Arena) -> None:
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
