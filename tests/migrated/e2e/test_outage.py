"""Outages that last longer than the kernel would wait end no session."""

from __future__ import annotations

import sys
import time

import pytest

from migrated.lab import SERVER_V4
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program

RETRIES, USUAL_RETRIES = 4, 15
GRANTED_S = 6.3
"""After this time a kernel with so few retries gives up a connection with data waiting; a busy daemon has to
freeze its own within it."""

PORT_NOT_ADOPTED = 7999


@pytest.mark.slow
def test_an_outage_that_outlasts_the_kernel(arena: Arena) -> None:
    talk = arena.session_of()
    plain = arena.talk(port=PORT_NOT_ADOPTED)
    mark = arena.here.mark()
    # The server's own kernel keeps its patience: its daemon needs 3 s alone to find that its peer is silent.
    arena.net.client.sysctl("net.ipv4.tcp_retries2", RETRIES)
    try:
        for link in arena.links:
            link.cut()
            link.withdraw()
        arena.here.await_event("suspended", since=mark, session=talk.session)
        assert plain.client.result()[0] == 1, "a connection that is no session survived: this shows nothing"
        time.sleep(GRANTED_S)
    finally:  # the outage is what is to be outlasted, not what a busy machine needs afterwards
        arena.net.client.sysctl("net.ipv4.tcp_retries2", USUAL_RETRIES)
    for link in arena.links:
        link.configure()
        link.plug()
    arena.here.await_event("resumed", since=mark, session=talk.session)
    talk.await_progress()
    talk.finish()


def test_all_links_go_and_come_back(arena: Arena) -> None:
    talk = arena.session_of()
    for _ in range(3):
        mark = arena.here.mark()
        for link in arena.links:
            link.cut()
        arena.here.await_event("suspended", since=mark, session=talk.session)
        for link in reversed(arena.links):
            link.plug()
        arena.here.await_event("resumed", since=mark, session=talk.session)
        talk.await_progress()
    talk.finish()


def test_a_program_that_ends_without_a_link_loses_nothing(arena: Arena) -> None:
    server = arena.net.server.popen([sys.executable, "-c", _SINK], stdout=-1, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "listening\n"
    client = Program(arena.net.client, [sys.executable, "-c", _LAST_WORDS, str(PROGRAMS)])
    client.line("connected")
    session = arena.here.await_event("adopted", peer=f"{SERVER_V4}:2999").fields["session"]
    for link in arena.links:
        link.cut()
    arena.here.await_event("suspended", session=session)
    client.process.send_signal(10)
    assert client.result()[0] == 0
    time.sleep(1.0)  # long enough for the daemon to look at its connections
    for link in arena.links:
        link.plug()
    out, _ = server.communicate(timeout=60)
    assert out == "got 10000 bytes\n"


_SINK = """
import socket
with socket.create_server(("", 2999)) as listener:
    print("listening", flush=True)
    sock, _ = listener.accept()
count = 0
while data := sock.recv(65536):
    count += len(data)
print("got", count, "bytes")
"""

_LAST_WORDS = """
import signal, socket
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
with socket.create_connection(("18.31.0.9", 2999)) as sock:
    print("connected", flush=True)
    signal.sigwait([signal.SIGUSR1])
    sock.sendall(bytes(10_000))
"""
