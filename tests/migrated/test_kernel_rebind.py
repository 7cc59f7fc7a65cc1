"""Both ends of real connections are moved between two links, without daemons: sockets of child processes."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from migrated.kernel import options, ptrace
from migrated.kernel.endpoint import EndPoint, local_end, remote_end
from migrated.kernel.errors import RebindError, UnsupportedSocketError
from migrated.kernel.freeze import OwnOptions, is_frozen
from migrated.kernel.holders import borrowed
from migrated.kernel.ports import reserve_port
from migrated.kernel.rebind import (
    Connection,
    Rebound,
    Target,
    check_movable,
    freeze_connection,
    locate,
    open_window,
    park_connection,
    rebind_connection,
    recover_connection,
    thaw_connection,
)
from migrated.kernel.repair import check_supported, set_repair
from migrated.kernel.routing import prepare_frozen_route
from migrated.kernel.tcp import queue_length, tcp_info
from migrated.lab import Host, Lab, is_privileged

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

PATIENCE_S = 60.0

# A program of one socket, told by lines what to do: `send TEXT`, `recv N`, `close`.
PROGRAM = """
import socket, sys
family, role, address, port, setup = sys.argv[1:]
family = socket.AF_INET6 if family == "6" else socket.AF_INET
if role == "listen":
    listener = socket.create_server((address, int(port)), family=family,
        dualstack_ipv6=family == socket.AF_INET6 and address == "::")
    print("ready", flush=True)
    sock, _ = listener.accept()
else:
    sock = socket.socket(family); sock.connect((address, int(port)))
exec(setup)
print("connected", sock.fileno(), flush=True)
for line in sys.stdin:
    verb, _, rest = line.rstrip("\\n").partition(" ")
    if verb == "send": sock.sendall(rest.encode()); print("sent", flush=True)
    elif verb == "recv":
        data = b""
        while len(data) < int(rest): data += sock.recv(int(rest) - len(data))
        print(data.decode(), flush=True)
    elif verb == "half": sock.shutdown(socket.SHUT_WR); print("half", flush=True)
"""


class Program:
    """A program with one connection, and its place on the two links."""

    def __init__(self, host: Host, *arguments: str, setup: str = "") -> None:
        self.process: subprocess.Popen[Any] = host.popen(
            [sys.executable, "-c", PROGRAM, *arguments, setup],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, line: str) -> str:
        self.begin(line)
        return self.hear()

    def begin(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return str(self.process.stdout.readline()).rstrip("\n")

    def connected(self) -> None:
        word, descriptor = self.hear().split()
        assert word == "connected"
        inode = Path(f"/proc/{self.process.pid}/fd/{descriptor}").stat().st_ino
        self.connection: Connection = locate(inode)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Two:
    """Two hosts with two cables between them."""

    def __init__(self, lab: Lab) -> None:
        self.a, self.b = lab.host("a"), lab.host("b")
        for number in (1, 2):
            lab.cable(self.a, f"e{number}", self.b, f"e{number}")
            for host, last in ((self.a, 1), (self.b, 2)):
                host.address_add(f"e{number}", f"10.{number}.0.{last}/24")
                host.address_add(f"e{number}", f"fd0{number}::{last}/64")
        self.b.address_add("lo", "10.9.0.2/32")
        self.b.address_add("lo", "fd09::2/128")
        for metric, number in ((1, 1), (2, 2)):
            self.a.route_add("10.9.0.2/32", via=f"10.{number}.0.2", dev=f"e{number}", metric=metric)
            self.a.route_add("fd09::2/128", via=f"fd0{number}::2", dev=f"e{number}", metric=metric)
        for host in (self.a, self.b):
            host.call(prepare)
        self.ports = iter(range(2000, 3000))

    def connect(
        self, family: str = "4", *, dual_stack: bool = False, setup: str = ""
    ) -> tuple[Program, Program]:
        address = "10.9.0.2" if family == "4" else "fd09::2"
        port = str(next(self.ports))
        listen = ("6", "listen", "::", port) if dual_stack else (family, "listen", address, port)
        server = Program(self.b, *listen)
        assert server.hear() == "ready"
        client = Program(self.a, family, "connect", address, port, setup=setup)
        client.connected()
        server.connected()
        return client, server

    def move(self, client: Program, server: Program, number: int) -> tuple[Rebound, Rebound]:
        """Take the client's end to another link, the server's end first in place."""
        frozen = freeze_connection(client.connection)
        with borrowed(client.connection.holders[0]) as sock:
            family = "6" if ":" in local_end(sock).address else "4"
        address = f"10.{number}.0.1" if family == "4" else f"fd0{number}::1"
        reservation = self.a.call(lambda: reserve_port(address))
        place = EndPoint(address=address, port=reservation.getsockname()[1])
        followed = rebind_connection(
            server.connection,
            Target(local=None, device=None, remote=place, peer_received=frozen.received, first_in_place=True),
        )
        target = Target(
            local=place,
            device=f"e{number}",
            remote=followed.local,
            peer_received=followed.received,
            first_in_place=False,
        )
        moved = rebind_connection(client.connection, target, frozen.own, reservation)
        open_window(server.connection, followed.sizing)
        return moved, followed


def prepare() -> None:
    asyncio.run(prepare_frozen_route())


@contextmanager
def two_hosts() -> Iterator[Two]:
    """Build both, with programs that are held still when a busy machine lets them stop."""
    with pytest.MonkeyPatch.context() as patch, Lab() as lab:
        patch.setattr(ptrace, "STOP_DEADLINE_S", PATIENCE_S)
        yield Two(lab)


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with two_hosts() as two:
        yield two


@pytest.mark.parametrize(("family", "dual_stack"), [("4", False), ("6", False), ("4", True)])
def test_a_connection_moves_to_and_fro(two: Two, family: str, dual_stack: bool) -> None:
    client, server = two.connect(family, dual_stack=dual_stack)
    for number in (2, 1, 2, 1):
        two.move(client, server, number)
        assert client.say("send ping") == "sent"
        assert server.say("recv 4") == "ping"
        assert server.say("send pong") == "sent"
        assert client.say("recv 4") == "pong"
        with borrowed(client.connection.holders[0]) as sock:
            assert local_end(sock).address.endswith("1")
            assert f"{number}" in local_end(sock).address
            assert not is_frozen(sock)
    client.end()
    server.end()


def test_unread_data_go_along_and_lost_data_are_sent_again(two: Two) -> None:
    client, server = two.connect()
    assert client.say("send unread") == "sent"
    with borrowed(server.connection.holders[0]) as sock:
        deadline = time.monotonic() + PATIENCE_S
        while queue_length(sock, options.SIOCINQ) < len("unread"):
            assert time.monotonic() < deadline
    park_connection(client.connection)  # from now on nothing that is sent arrives
    own = check_own(client)
    assert client.say("send lost") == "sent"
    assert server.say("send answer") == "sent"
    frozen = freeze_connection(client.connection, own)
    assert frozen.sent != frozen.acknowledged
    reservation = two.a.call(lambda: reserve_port("10.2.0.1"))
    place = EndPoint(address="10.2.0.1", port=reservation.getsockname()[1])
    followed = rebind_connection(
        server.connection,
        Target(local=None, device=None, remote=place, peer_received=frozen.received, first_in_place=True),
    )
    moved = rebind_connection(
        client.connection,
        Target(
            local=place,
            device="e2",
            remote=followed.local,
            peer_received=followed.received,
            first_in_place=False,
        ),
        own,
        reservation,
    )
    open_window(server.connection, followed.sizing)
    assert moved.sent_again == len("lost")
    assert server.say("recv 10") == "unreadlost"
    assert client.say("recv 6") == "answer"
    client.end()
    server.end()


def check_own(program: Program) -> Any:

    assert recover_connection(program.connection)
    return OwnOptions(mark=0, user_timeout_ms=0, transparent=False, keepalive=False, device="")


def test_options_of_the_program_come_back(two: Two) -> None:
    setup = (
        "sock.setsockopt(1, 9, 1); sock.setsockopt(6, 18, 12345); "
        "sock.setsockopt(6, socket.TCP_NODELAY, 1); sock.setsockopt(1, 36, 7)"
    )
    client, server = two.connect(setup=setup)
    before = check_movable(client.connection)
    assert (before.keepalive, before.user_timeout_ms, before.mark) == (True, 12345, 7)
    frozen = freeze_connection(client.connection)
    assert frozen.own == before
    with borrowed(client.connection.holders[0]) as sock:
        assert is_frozen(sock)
    thaw_connection(client.connection, frozen.own)
    assert check_movable(client.connection) == before
    two.move(client, server, 2)
    after = check_movable(client.connection)
    assert (after.keepalive, after.user_timeout_ms, after.mark, after.device) == (True, 12345, 7, "e2")
    client.end()
    server.end()


def test_a_server_can_be_started_anew_after_a_move(two: Two) -> None:
    client, server = two.connect()
    two.move(client, server, 2)
    with borrowed(server.connection.holders[0]) as sock:  # it lives on, as in a child of the server
        server.end()
        successor = Program(two.b, "4", "listen", "10.9.0.2", str(local_end(sock).port))
        assert successor.hear() == "ready"
    successor.end()
    client.end()


def test_a_move_to_a_place_that_is_not_there_is_undone(two: Two) -> None:
    client, server = two.connect()
    assert client.say("send before") == "sent"
    with borrowed(client.connection.holders[0]) as sock:
        was = local_end(sock), remote_end(sock)
    received = freeze_connection(server.connection)
    thaw_connection(server.connection, received.own)
    target = Target(
        local=EndPoint(address="10.77.0.1", port=40000),
        device=None,
        remote=was[1],
        peer_received=received.received,
        first_in_place=False,
    )
    with pytest.raises(RebindError, match="assign requested address"):
        rebind_connection(client.connection, target)
    with borrowed(client.connection.holders[0]) as sock:
        assert (local_end(sock), remote_end(sock)) == was
        assert not is_frozen(sock)
        assert tcp_info(sock).state_name == "ESTABLISHED"
    assert client.say("send after") == "sent"
    assert server.say("recv 11") == "beforeafter"
    assert server.say("send back") == "sent"
    assert client.say("recv 4") == "back"
    client.end()
    server.end()


def test_a_claim_that_can_not_be_true_changes_nothing(two: Two) -> None:
    client, server = two.connect()
    frozen = freeze_connection(client.connection)
    target = Target(
        local=None,
        device=None,
        remote=EndPoint(address="10.9.0.2", port=1),
        peer_received=(frozen.sent + 1) % 2**32,
        first_in_place=False,
    )
    with pytest.raises(RebindError, match="can't be right"):
        rebind_connection(client.connection, target, frozen.own)
    thaw_connection(client.connection, frozen.own)
    assert client.say("send fine") == "sent"
    assert server.say("recv 4") == "fine"
    client.end()
    server.end()


def test_a_socket_left_in_repair_mode_is_recovered(two: Two) -> None:
    client, server = two.connect()
    with borrowed(client.connection.holders[0]) as sock:
        set_repair(sock, options.REPAIR_ON)
    assert not recover_connection(client.connection)
    assert client.say("send fine") == "sent"
    assert server.say("recv 4") == "fine"
    client.end()
    server.end()


REFUSED = {
    "half-closed": ("sock.shutdown(socket.SHUT_WR)", "the connection is FIN-WAIT"),
    "own filter": (
        (
            "import ctypes,struct; code=ctypes.create_string_buffer(struct.pack('=HBBI',6,0,0,0xffff),8);"
            "sock.setsockopt(1,26,struct.pack('@HP',1,ctypes.addressof(code)))"
        ),
        "socket filter of its own",
    ),
    "peek offset": ("sock.setsockopt(1, 42, 0)", "SO_PEEK_OFF"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_can_not_be_carried_over_is_refused(two: Two, case: str) -> None:
    setup, reason = REFUSED[case]
    client, server = two.connect(setup=setup)
    with pytest.raises(UnsupportedSocketError, match=reason):
        check_movable(client.connection)
    assert server.say("send still") == "sent"
    assert client.say("recv 5") == "still"
    client.end()
    server.end()


def test_mptcp_is_refused(two: Two) -> None:
    def connected() -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, options.IPPROTO_MPTCP)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, options.IPPROTO_MPTCP)
        client.connect(listener.getsockname())
        listener.close()
        return client

    client = two.a.call(connected)
    with client, pytest.raises(UnsupportedSocketError, match="MPTCP"):
        check_supported(client)
