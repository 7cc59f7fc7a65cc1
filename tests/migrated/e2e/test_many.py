"""Fifty connections of one program to one peer move together."""

from __future__ import annotations

import signal
import sys
import time

from migrated.config import CONTROL_PORT
from migrated.lab import NAT_OUTSIDE, SERVER_V4
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program
from tests.migrated.e2e.capture import Capture

COUNT = 50
PORT = 2900
BYTES_PER_S = 100_000
SMALLEST_FULL_REQUEST_BYTES = 600
"""Heartbeats and acknowledgements are smaller; a request for fifty connections fills its datagrams."""

DATAGRAMS = 3
"""As many are enough for a request for all of them."""


def times_asked(for_s: float) -> int:
    """Return how often a request is sent for so long without an answer: 20 ms later, then 40 ... 1000."""
    times, pause_s = 1, 0.02
    while for_s >= pause_s:
        for_s -= pause_s
        times, pause_s = times + 1, min(2 * pause_s, 1.0)
    return times


def test_fifty_connections_move_together(arena: Arena) -> None:
    crowd = [sys.executable, str(PROGRAMS / "crowd.py"), str(COUNT)]
    where = [SERVER_V4, str(PORT), str(BYTES_PER_S)]
    server = Program(arena.net.server, [*crowd, "listen", *where])
    server.line("listening")
    client = Program(arena.net.client, [*crowd, "connect", *where])
    client.line("connected")
    arena.here.await_event("adopted", count=COUNT)
    sessions = {event.fields["session"] for event in arena.here.since(0, "adopted")}
    for blow, to in ((arena.link("eth0").cut, "ppp0"), (arena.link("ppp0").withdraw, "eth0")):
        mark, mark_there = arena.here.mark(), arena.there.mark()
        if to == "eth0":
            arena.link("eth0").plug()
            arena.here.await_event("link-up", since=mark, link="eth0")
        with Capture(arena.net.router, NAT_OUTSIDE) as capture:
            begun = time.monotonic()
            blow()
            arena.here.await_event("moved", since=mark, to=to, count=COUNT)
            arena.there.await_event("followed", since=mark_there, count=COUNT)
        took_s = time.monotonic() - begun
        moved = {event.fields["session"] for event in arena.here.since(mark, "moved", to=to)}
        assert moved == sessions
        requests = [
            packet
            for packet in capture.udp(to=SERVER_V4, port=CONTROL_PORT)
            if len(packet.payload) > SMALLEST_FULL_REQUEST_BYTES
        ]
        assert 1 <= len(requests) <= DATAGRAMS * times_asked(took_s), (
            "requests are repeated while the peer is at work, but each is for many"
        )
        before = client.received, server.received
        client.await_received(before[0])
        server.await_received(before[1])
    client.process.send_signal(signal.SIGUSR1)
    assert [client.result()[0], server.result()[0]] == [0, 0], (client.last, server.last)
