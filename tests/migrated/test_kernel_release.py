"""Connections are given up entirely and made again, where they were, with all bytes on their way."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from migrated.kernel import options
from migrated.kernel.endpoint import EndPoint, local_end, remote_end
from migrated.kernel.errors import RebindError, UnsupportedSocketError
from migrated.kernel.freeze import OwnOptions, freeze, is_frozen, read_own_options
from migrated.kernel.guard import Ends, guard, unguard
from migrated.kernel.holders import Holder, duplicate
from migrated.kernel.ports import reserve_port
from migrated.kernel.rebind import (
    Connection,
    Frozen,
    Target,
    freeze_connection,
    open_window,
    rebind_connection,
    thaw_connection,
)
from migrated.kernel.release import ReleasedConnection, give_up, read_released, remake
from migrated.kernel.tcp import queue_length
from migrated.lab import Host, is_privileged
from tests.migrated.test_kernel_rebind import Program, Two, two_hosts

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with two_hosts() as two:
        yield two


class Given:
    """A connection whose program has gone, with its socket."""

    def __init__(self, host: Host, program: Program) -> None:
        self.host = host
        self.frozen: Frozen = freeze_connection(program.connection)
        with duplicate(program.connection.holders[0]) as sock:
            read = read_released(sock, self.frozen.own)
            self.released = ReleasedConnection.from_bytes(bytes(read))
            assert self.released == read
            self.ends = Ends(local=local_end(sock), remote=remote_end(sock))
            host.call(lambda: guard([self.ends]))
            give_up(sock)
        program.end()

    def back(self) -> tuple[socket.socket, Connection]:
        sock = self.host.call(lambda: remake(self.released))
        self.host.call(lambda: unguard([self.ends]))
        assert is_frozen(sock)
        return sock, ours(sock)


def ours(sock: socket.socket) -> Connection:
    """Return a connection that this process holds, as the daemon names it."""
    holder = Holder(pid=os.getpid(), descriptor=sock.fileno(), program="us", uses_io_uring=False)
    return Connection(inode=os.fstat(sock.fileno()).st_ino, holders=(holder,))


def sockets_of(host: Host, port: int) -> str:
    command = ["ss", "-Htan", f"( sport = :{port} or dport = :{port} )"]
    return host.call(lambda: subprocess.run(command, capture_output=True, text=True)).stdout


def receive(sock: socket.socket, length: int) -> bytes:
    sock.settimeout(60)  # what was lost is sent again, ever later
    data = b""
    while len(data) < length:
        data += sock.recv(length - len(data))
    return data


@pytest.mark.parametrize(("family", "dual_stack"), [("4", False), ("6", False), ("4", True)])
@pytest.mark.parametrize("end", ["client", "server"])
def test_bytes_of_both_directions_survive(two: Two, family: str, dual_stack: bool, end: str) -> None:
    client, server = two.connect(family, dual_stack=dual_stack)
    leaver, stayer = (client, server) if end == "client" else (server, client)
    host = two.a if end == "client" else two.b
    assert stayer.say("send unread") == "sent"
    with duplicate(leaver.connection.holders[0]) as sock:
        assert sock.recv(6, socket.MSG_PEEK) == b"unread"
    freeze_connection(leaver.connection)  # what is written from now on stays on its way
    assert leaver.say("send unsent") == "sent"
    with duplicate(leaver.connection.holders[0]) as sock:
        own = thawed_options()
        read = read_released(sock, own)
        ends = Ends(local=local_end(sock), remote=remote_end(sock))
        host.call(lambda: guard([ends]))
        give_up(sock)
    leaver.end()
    assert sockets_of(host, ends.local.port).count("ESTAB") == 0
    assert stayer.say("send late") == "sent"  # nobody is there, and nobody resets it
    sock = host.call(lambda: remake(ReleasedConnection.from_bytes(bytes(read))))
    host.call(lambda: unguard([ends]))
    assert (local_end(sock), remote_end(sock)) == (ends.local, ends.remote)
    thaw_connection(ours(sock), own)
    assert receive(sock, 10) == b"unreadlate"
    assert stayer.say("recv 6") == "unsent"
    sock.sendall(b"more")
    assert stayer.say("recv 4") == "more"
    sock.close()
    stayer.end()


def thawed_options() -> OwnOptions:
    return OwnOptions(mark=0, user_timeout_ms=0, transparent=False, keepalive=False, device="")


def test_it_goes_on_elsewhere_though_its_address_is_gone(two: Two) -> None:
    two.a.address_add("e1", "10.1.0.9/24")
    two.a.ip("route replace 10.9.0.2/32 via 10.1.0.2 src 10.1.0.9 metric 0")
    client, server = two.connect()
    two.a.ip("route del 10.9.0.2/32 metric 0")
    assert server.say("send before") == "sent"
    given = Given(two.a, client)
    assert given.released.snapshot.local.address == "10.1.0.9"
    two.a.ip("addr del 10.1.0.9/24 dev e1")
    sock, connection = given.back()
    frozen = freeze_connection(connection, given.released.own)
    reservation = two.a.call(lambda: reserve_port("10.2.0.1"))
    place = EndPoint(address="10.2.0.1", port=reservation.getsockname()[1])
    followed = rebind_connection(
        server.connection,
        Target(local=None, device=None, remote=place, peer_received=frozen.received, first_in_place=True),
    )
    there = Target(
        local=place,
        device="e2",
        remote=followed.local,
        peer_received=followed.received,
        first_in_place=False,
    )
    rebind_connection(connection, there, frozen.own, reservation)
    open_window(server.connection, followed.sizing)
    assert receive(sock, 6) == b"before"
    sock.sendall(b"after")
    assert server.say("recv 5") == "after"
    assert server.say("send back") == "sent"
    assert receive(sock, 4) == b"back"
    sock.close()
    server.end()


def test_the_peer_may_have_received_more_than_it_has_acknowledged(two: Two) -> None:
    client, server = two.connect()
    freeze_connection(server.connection)  # it hears nothing, so what the client sends stays in flight
    assert client.say("send " + "x" * 5000) == "sent"
    given = Given(two.a, client)
    snapshot = given.released.snapshot
    assert (snapshot.snd_nxt - snapshot.snd_una) % 2**32 == 5000
    sock, connection = given.back()
    again = freeze_connection(connection, given.released.own)
    assert (again.acknowledged, again.sent, again.received) == (
        snapshot.snd_una,
        snapshot.snd_nxt,
        snapshot.rcv_nxt,
    )
    sock.close()
    server.end()


def test_megabytes_survive(two: Two) -> None:
    client, server = two.connect()
    # More than any buffer holds: what a program writes is half on its way, half still with it.
    client.begin("send " + "y" * 3_000_000)
    with duplicate(server.connection.holders[0]) as sock:
        while queue_length(sock, options.SIOCINQ) < 100_000:
            pass
    given = Given(two.b, server)
    assert len(given.released.snapshot.unread) >= 100_000
    sock, connection = given.back()
    thaw_connection(connection, given.released.own)
    assert receive(sock, 3_000_000) == b"y" * 3_000_000
    assert client.hear() == "sent"
    sock.close()
    client.end()


@pytest.mark.parametrize("seed", range(3))
def test_many_times_at_random_not_a_byte_is_lost(two: Two, seed: int) -> None:
    rng = random.Random(seed)
    ends = InProcess(two)
    for _ in range(25):
        for end in (0, 1):
            ends.write(end, rng.randbytes(rng.choice((0, 1, 100, 20_000, 300_000))))
            ends.read(end, rng.choice((0, 10, 50_000, 1_000_000)))
        ends.release_and_remake(rng.randrange(2))
    ends.check()


class InProcess:
    """Both ends of a connection in this process, and what was written to and read from each."""

    def __init__(self, two: Two) -> None:
        self.hosts = (two.a, two.b)
        listener = two.b.call(lambda: socket.create_server(("10.9.0.2", 0)))
        client = two.a.call(lambda: socket.create_connection(listener.getsockname()))
        server, _ = listener.accept()
        listener.close()
        self.sockets = [client, server]
        for sock in self.sockets:
            sock.setblocking(False)
        self.written = [bytearray(), bytearray()]
        self.heard = [bytearray(), bytearray()]

    def write(self, end: int, data: bytes) -> None:
        with suppress(BlockingIOError):
            self.written[end] += data[: self.sockets[end].send(data)]

    def read(self, end: int, length: int) -> None:
        with suppress(BlockingIOError):
            self.heard[end] += self.sockets[end].recv(length) if length else b""

    def release_and_remake(self, end: int) -> None:
        host, sock = self.hosts[end], self.sockets[end]
        frozen = freeze_connection(ours(sock))
        released = read_released(sock, frozen.own)
        ends = [Ends(local=local_end(sock), remote=remote_end(sock))]
        host.call(lambda: guard(ends))
        give_up(sock)
        sock.close()
        self.sockets[end] = host.call(lambda: remake(released))
        self.sockets[end].settimeout(0)
        host.call(lambda: unguard(ends))
        thaw_connection(ours(self.sockets[end]), frozen.own)

    def check(self) -> None:
        for end, sock in enumerate(self.sockets):
            sock.settimeout(60)
            other = self.written[1 - end]
            while len(self.heard[end]) < len(other):
                self.read(1 - end, 1_000_000)
                self.heard[end] += sock.recv(1_000_000)
            assert self.heard[end] == other
            sock.settimeout(0)
        for sock in self.sockets:
            sock.close()


SET = (
    "sock.setsockopt(6, 1, 1); sock.setsockopt(6, 4, 77); sock.setsockopt(6, 5, 7); sock.setsockopt(6, 6, 3);"
    "import struct; sock.setsockopt(1, 13, struct.pack('ii', 1, 5)); sock.setsockopt(0, 1, 0x10);"
    "sock.setsockopt(1, 12, 6); sock.setsockopt(1, 7, 50000); sock.setsockopt(1, 2, 1);"
    "sock.setsockopt(1, 9, 1); sock.setsockopt(6, 13, b'reno'); sock.setblocking(False)"
)


def test_options_of_the_program_come_back(two: Two) -> None:
    client, server = two.connect(setup=SET)
    given = Given(two.a, client)
    sock, connection = given.back()
    thaw_connection(connection, given.released.own)
    assert read_own_options(sock) == given.released.own
    assert given.released.own.keepalive
    assert [sock.getsockopt(6, name) for name in (1, 4, 5, 6)] == [1, 77, 7, 3]
    assert sock.getsockopt(1, 13, 8) == b"\1\0\0\0\5\0\0\0"
    assert (sock.getsockopt(0, 1), sock.getsockopt(1, 12)) == (0x10, 6)
    assert (sock.getsockopt(1, 7), sock.getsockopt(1, 2)) == (100000, 1)
    assert sock.getsockopt(6, 13, 16).rstrip(b"\0") == b"reno"
    assert not os.get_blocking(sock.fileno())
    sock.close()
    server.end()


def test_every_holder_loses_it_without_a_packet(two: Two) -> None:
    client, server = two.connect()
    frozen = freeze_connection(client.connection)
    with duplicate(client.connection.holders[0]) as sock:
        read_released(sock, frozen.own)
        ends = Ends(local=local_end(sock), remote=remote_end(sock))
        two.a.call(lambda: guard([ends]))
        give_up(sock)
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
    client.end()
    assert server.say("send still") == "sent"
    with duplicate(server.connection.holders[0]) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        with pytest.raises(BlockingIOError):
            sock.recv(1, socket.MSG_DONTWAIT)
    server.end()


def test_a_half_closed_connection_is_refused(two: Two) -> None:
    client, server = two.connect()
    assert client.say("half") == "half"
    frozen_options = thawed_options()
    with duplicate(server.connection.holders[0]) as sock:
        while sock.recv(1, socket.MSG_PEEK):
            pass
        freeze(sock)
        with pytest.raises(UnsupportedSocketError, match="CLOSE-WAIT"):
            read_released(sock, frozen_options)
    client.end()
    server.end()


def test_a_live_connection_is_refused(two: Two) -> None:
    client, server = two.connect()
    with (
        duplicate(client.connection.holders[0]) as sock,
        pytest.raises(RebindError, match="not frozen"),
    ):
        read_released(sock, thawed_options())
    client.end()
    server.end()


def test_a_place_that_is_taken_is_refused_and_nothing_is_left(two: Two) -> None:
    client, server = two.connect()
    given = Given(two.a, client)
    sock, connection = given.back()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(RebindError, match="can't make the connection again"):
        two.a.call(lambda: remake(given.released))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    thaw_connection(connection, given.released.own)
    sock.sendall(b"fine")
    assert server.say("recv 4") == "fine"
    sock.close()
    server.end()


def test_something_else_than_a_connection_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        ReleasedConnection.from_bytes(b"\x81\xa1a\1")
