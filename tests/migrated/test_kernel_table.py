from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from migrated.kernel import table
from migrated.kernel.table import Row, established
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
