from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Iterator

import pytest

from migrated.kernel import table
from migrated.kernel.table import LONGEST_S, MAX_AGE_S, STIR_S, ConnectionTable, Row, established
from monitors.diag import SocketRow


def _pair(
    family: int, address: str, dual: bool = False
) -> tuple[socket.socket, socket.socket, socket.socket]:
    listener = socket.socket(socket.AF_INET6 if dual else family)
    if dual:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::" if dual else address, 0))
    listener.listen()
    client = socket.socket(family)
    client.connect((address, listener.getsockname()[1]))
    return listener, client, listener.accept()[0]


@pytest.fixture(params=["v4", "v6", "mapped"])
def sockets(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, ...]]:
    made = {
        "v4": lambda: _pair(socket.AF_INET, "127.0.0.1"),
        "v6": lambda: _pair(socket.AF_INET6, "::1"),
        "mapped": lambda: _pair(socket.AF_INET, "127.0.0.1", dual=True),
    }[request.param]()
    yield made
    for sock in made:
        sock.close()


def _inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def _row_of(sock: socket.socket, rows: dict[int, Row]) -> tuple[str, int, str, int]:
    row = rows[_inode(sock)]
    assert row.uid == os.getuid()
    return row.local.address, row.local.port, row.remote.address, row.remote.port


def _without_statistics(family: int, states: frozenset[int]) -> Iterator[SocketRow]:
    raise OSError(errno.ENOENT, "no such interface")


@pytest.mark.parametrize("statistics", [True, False])
def test_a_connection_is_read_at_both_ends(
    sockets: tuple[socket.socket, ...], statistics: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not statistics:
        monkeypatch.setattr(table, "tcp_sockets", _without_statistics)
    listener, client, server = sockets
    rows = established()
    local, remote = client.getsockname()[:2], client.getpeername()[:2]
    assert _row_of(client, rows) == (*local, *remote)
    assert _row_of(server, rows) == (*remote, *local)
    assert (rows[_inode(client)].accepted, rows[_inode(server)].accepted) == (False, True)
    assert _inode(listener) not in rows


def test_a_connection_that_has_ended_is_not_there(sockets: tuple[socket.socket, ...]) -> None:
    _, client, server = sockets
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    assert _inode(server) not in established()


def test_another_refusal_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(family: int, states: frozenset[int]) -> Iterator[SocketRow]:
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(table, "tcp_sockets", refused)
    with pytest.raises(PermissionError):
        established()


def test_a_table_of_many_datagrams_is_read_whole() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(600)
        clients = [socket.create_connection(listener.getsockname()) for _ in range(600)]
        rows = established()
        missing = [client for client in clients if _inode(client) not in rows]
        for client in clients:
            client.close()
        assert not missing


class Kernel:
    """Counters and a table, which count how often it is read."""

    def __init__(self) -> None:
        self.counters: tuple[bytes, ...] | None = (b"1",)
        self.reads = 0

    def established(self) -> dict[int, Row]:
        self.reads += 1
        return {}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(table, "established", kernel.established)
    monkeypatch.setattr(table, "_counters", lambda: kernel.counters)
    return kernel


def test_the_table_is_read_when_counters_change_for_a_while_and_when_it_is_too_old(kernel: Kernel) -> None:
    known = ConnectionTable()
    looks = [
        (0.0, b"1", 1),
        (STIR_S - 0.1, b"1", 2),
        (STIR_S, b"1", 2),
        (5.0, b"1", 2),
        (5.5, b"2", 3),
        (5.5 + STIR_S - 0.1, b"2", 4),
        (8.0, b"2", 4),
        (7.0 + MAX_AGE_S, b"2", 5),
        (20.0, b"2", 5),
    ]
    for now, counter, reads in looks:
        kernel.counters = (counter,)
        known.read(now)
        assert (now, kernel.reads) == (now, reads)


@pytest.mark.parametrize(("took_s", "again_s"), [(0.001, MAX_AGE_S), (0.010, 20.0), (3.0, LONGEST_S)])
def test_readings_that_take_long_are_rare(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, took_s: float, again_s: float
) -> None:
    known, readings = ConnectionTable(), itertools.count(step=took_s)
    monkeypatch.setattr("migrated.kernel.table.time.thread_time", lambda: next(readings))
    known.read(0.0)
    for now, reads in ((again_s - 0.01, 1), (again_s + 0.01, 2)):
        known.read(now)
        assert (now, kernel.reads) == (now, reads)


def test_what_was_not_read_anew_is_the_same_object(kernel: Kernel) -> None:
    known = ConnectionTable()
    first = known.read(0.0)
    assert known.read(STIR_S) is first
    assert known.read(STIR_S, "another occasion") is not first


def test_a_kernel_without_counters_is_always_asked_for_the_table(kernel: Kernel) -> None:
    kernel.counters, known = None, ConnectionTable()
    for now in (0.0, STIR_S, 5.0):
        known.read(now)
    assert kernel.reads == 3


def test_a_connection_that_comes_and_one_that_is_closed_here_are_noticed_at_once() -> None:
    known, now = ConnectionTable(), 0.0
    known.read(now)
    listener, client, server = _pair(socket.AF_INET, "127.0.0.1")
    with listener, client, server:
        now += STIR_S
        assert _inode(client) in known.read(now)
        inode = _inode(client)
        client.close()
        now += STIR_S
        assert inode not in known.read(now)
