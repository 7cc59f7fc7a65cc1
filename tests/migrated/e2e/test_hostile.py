"""Whatever strangers send to the control ports: the daemons go on, and nothing moves."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from migrated.config import CONTROL_PORT
from migrated.lab import NAT_OUTSIDE, SERVER_V4, Host
from tests.migrated.e2e.arena import Arena, Conversation
from tests.migrated.e2e.capture import Capture
from tests.migrated.e2e.daemons import EVENT_S, Daemon

SEED = 20_261_122
DATAGRAMS = 500
STREAMS = 40
MOVING = ("moving", "moved", "followed", "suspended", "resumed", "ended", "refused")


@pytest.fixture
def talk(arena: Arena) -> Iterator[Conversation]:
    """A session; at the end it is where it was, and can be moved by those who may."""
    talk = arena.session_of()
    yield talk
    arena.move_around(talk, 2)
    talk.finish()
    for daemon in (arena.here, arena.there):  # or it might be noticed during the next test
        daemon.await_event("ended", session=talk.session)


def nothing_moves(arena: Arena, marks: tuple[int, int], talk: Conversation) -> None:
    """Check that both daemons answer, and that nothing has happened to any session."""
    for daemon, mark in zip((arena.here, arena.there), marks, strict=True):
        assert daemon.status().sessions == len(daemon.sessions())
        assert [event for event in daemon.events[mark:] if event.name in MOVING] == []
        assert daemon.complaints() == []
    assert arena.here.session(talk.session).state == "live"
    talk.await_progress()


def marks(arena: Arena) -> tuple[int, int]:
    return arena.here.mark(), arena.there.mark()


def targets(arena: Arena) -> list[tuple[Host, str]]:
    """Return for each daemon another host that reaches it, and its address."""
    return [(arena.net.router, SERVER_V4), (arena.net.router, arena.links[0].v4)]


def send_datagrams(host: Host, address: str, datagrams: list[bytes]) -> None:
    with host.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        for datagram in datagrams:
            sock.sendto(datagram, (address, CONTROL_PORT))


def send_stream(host: Host, address: str, data: bytes) -> bytes:
    """Send bytes to the TCP control port and return what comes back, if the daemon takes us at all."""
    sock = host.call(lambda: socket.create_connection((address, CONTROL_PORT), timeout=60))
    with sock, suppress(OSError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return sock.recv(1 << 16)
    return b""


def test_random_datagrams(arena: Arena, talk: Conversation) -> None:
    chance, before = random.Random(SEED), marks(arena)
    for host, address in targets(arena):
        send_datagrams(host, address, [chance.randbytes(chance.randint(0, 1400)) for _ in range(DATAGRAMS)])
    nothing_moves(arena, before, talk)


def test_random_streams(arena: Arena, talk: Conversation) -> None:
    chance, before = random.Random(SEED), marks(arena)
    for host, address in targets(arena):
        for number in range(STREAMS):
            length = chance.choice([0, 1, 2, 33, 100, 4096, 100_000])
            # Half of them begin as a frame of a sensible length.
            head = (32).to_bytes(2, "big") if number % 2 else b""
            send_stream(host, address, head + chance.randbytes(length))
    nothing_moves(arena, before, talk)


def test_recorded_datagrams_replayed_cut_and_changed(arena: Arena, talk: Conversation) -> None:
    with Capture(arena.net.router, NAT_OUTSIDE) as capture:
        arena.move_around(talk, 2)
    to_server = [packet.payload for packet in capture.udp(to=SERVER_V4, port=CONTROL_PORT)]
    to_client = [
        packet.payload for link in arena.links for packet in capture.udp(to=link.v4, port=CONTROL_PORT)
    ]
    assert len(to_server) >= 4, "requests and confirmations of two moves"
    assert len(to_client) >= 4, "answers and acknowledgements of two moves"
    chance, before = random.Random(SEED), marks(arena)
    for (host, address), recorded in zip(targets(arena), (to_server, to_client), strict=True):
        cut = [datagram[: chance.randrange(len(datagram))] for datagram in recorded]
        changed = [_with_one_bit_changed(datagram, chance) for datagram in recorded]
        longer = [datagram + b"\0" for datagram in recorded]
        send_datagrams(host, address, [*recorded, *reversed(recorded), *cut, *changed, *longer])
    nothing_moves(arena, before, talk)
    for daemon in (arena.here, arena.there):
        await_dropped(daemon, 4)
        assert not any(peer.malformed for peer in daemon.peers())


def await_dropped(daemon: Daemon, number: int) -> None:
    """Wait until `migrate status` has counted so many; it may be answered before they are read."""
    deadline = time.monotonic() + EVENT_S
    while sum(peer.dropped for peer in daemon.peers()) < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_handshake_cut_short_and_left_open(arena: Arena, talk: Conversation) -> None:
    before = marks(arena)
    host, address = targets(arena)[0]
    idle = [
        host.call(lambda: socket.create_connection((address, CONTROL_PORT), timeout=10)) for _ in range(10)
    ]
    nothing_moves(arena, before, talk)
    for sock in idle:
        sock.close()


def _with_one_bit_changed(datagram: bytes, chance: random.Random) -> bytes:
    changed = bytearray(datagram)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def test_a_changed_host_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Arena(tmp_path_factory.mktemp("arena")) as arena:
        arena.session_of().finish()
        arena.here.stop()
        _forget_identity(arena.there)
        mark = arena.here.mark()
        arena.here.start()
        talk = arena.talk()
        told = arena.here.await_line(f"no association with {SERVER_V4}", since=mark)
        assert "has changed from SHA256:" in told
        assert f"migrate forget-peer {SERVER_V4}" in told
        talk.await_progress()
        assert arena.here.sessions() == ()
        talk.finish()


def _forget_identity(daemon: Daemon) -> None:
    daemon.stop()
    (daemon.folder / "state" / "host.key").unlink()
    daemon.start()
