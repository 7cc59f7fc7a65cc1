"""What can't be moved is refused with a reason, and goes on."""

from __future__ import annotations

import subprocess
import sys
import time

from migrated.lab import SERVER_V4
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program

SCANS_S = 1.5
MPTCP_PORT, HALF_PORT = 2950, 2951


def test_a_program_that_is_traced_already(arena: Arena) -> None:
    talk = arena.session_of()
    pid = str(talk.client.process.pid)
    tracer = arena.net.client.popen(
        [sys.executable, str(PROGRAMS / "tracer.py"), pid],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert tracer.stdout is not None
    assert tracer.stdout.readline() == "tracing\n"
    mark = arena.here.mark()
    arena.here.move(talk.session, "ppp0")
    refused = arena.here.await_event("refused", since=mark, session=talk.session)
    assert f"process {tracer.pid} traces it already" in refused.fields["reason"]
    talk.await_progress()
    tracer.communicate("")
    assert arena.here.session(talk.session).state == "live"
    talk.finish()


def test_an_mptcp_socket_is_left_alone(arena: Arena) -> None:
    mark = arena.here.mark()
    server = Program(arena.net.server, [sys.executable, "-c", _SERVER, str(MPTCP_PORT)])
    server.line("listening")
    client = Program(arena.net.client, [sys.executable, "-c", _MPTCP_CLIENT, SERVER_V4, str(MPTCP_PORT)])
    client.line("connected")
    time.sleep(SCANS_S)
    assert arena.here.since(mark, "adopted") == []
    assert client.result() == (0, "got abc")


def test_a_half_closed_connection_is_left_alone(arena: Arena) -> None:
    server = Program(arena.net.server, [sys.executable, "-c", _SERVER, str(HALF_PORT)])
    server.line("listening")
    client = Program(arena.net.client, [sys.executable, "-c", _HALF_CLIENT, SERVER_V4, str(HALF_PORT)])
    client.line("connected")
    session = arena.here.await_event("adopted", peer=f"{SERVER_V4}:{HALF_PORT}").fields["session"]
    client.process.send_signal(10)
    client.line("half closed")
    for daemon in (arena.here, arena.there):
        daemon.await_event("ended", session=session)
    client.process.send_signal(10)
    assert client.result() == (0, "got abc")


_SERVER = """
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as listener:
    print("listening", flush=True)
    sock, _ = listener.accept()
    data = b""
    while len(data) < 3:
        data += sock.recv(3)
    sock.sendall(data)
    sock.recv(1)
"""

_MPTCP_CLIENT = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
sock.connect((sys.argv[1], int(sys.argv[2])))
print("connected", flush=True)
time.sleep(2)
sock.sendall(b"abc")
print("got", sock.recv(3).decode())
"""

_HALF_CLIENT = """
import signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("connected", flush=True)
signal.sigwait([signal.SIGUSR1])
sock.sendall(b"abc")
sock.shutdown(socket.SHUT_WR)
print("half closed", flush=True)
signal.sigwait([signal.SIGUSR1])
print("got", sock.recv(3).decode())
"""
