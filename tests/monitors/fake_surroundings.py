"""Surroundings that a test changes by hand."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable

from monitors.surroundings import Solitude, WatchedConnection, WatchedPath


class FakeSurroundings(Solitude):
    """Connections and paths are those that they were set to last."""

    def __init__(self) -> None:
        super().__init__()
        self._connections: tuple[WatchedConnection, ...] = ()
        self._paths: tuple[WatchedPath, ...] = ()
        self._changed = asyncio.Event()

    def connections(self) -> tuple[WatchedConnection, ...]:
        return self._connections

    def paths(self) -> tuple[WatchedPath, ...]:
        return self._paths

    async def changed(self) -> None:
        await self._changed.wait()

    def set(self, connections: Iterable[WatchedConnection] = (), paths: Iterable[WatchedPath] = ()) -> None:
        self._connections, self._paths = tuple(connections), tuple(paths)
        self._changed.set()
        self._changed = asyncio.Event()


def connection(inode: int = 1, session: str = "ssh", **places: str | int) -> WatchedConnection:
    given: dict[str, str | int] = {
        "local_address": "10.0.0.1",
        "local_port": 1000 + inode,
        "remote_address": "10.0.0.2",
        "remote_port": 22,
        "interface": "eth0",
    }
    return WatchedConnection(session=session, connection=str(inode), inode=inode, **(given | places))  # type: ignore[arg-type]


def of_socket(sock: socket.socket, interface: str = "lo") -> WatchedConnection:
    """Return a real connection as the daemon would show it."""
    (local, local_port), (remote, remote_port) = sock.getsockname()[:2], sock.getpeername()[:2]
    return connection(
        os.fstat(sock.fileno()).st_ino,
        local_address=local.removeprefix("::ffff:"),
        local_port=local_port,
        remote_address=remote.removeprefix("::ffff:"),
        remote_port=remote_port,
        interface=interface,
    )


def path(interface: str = "eth0", peer: str = "192.0.2.1", local: str = "10.0.0.1") -> WatchedPath:
    return WatchedPath(interface=interface, local_address=local, peer=peer, in_use=True)
