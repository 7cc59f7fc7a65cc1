"""Connections and paths as the daemon would show them."""

from __future__ import annotations

import os
import socket

from monitors.surroundings import WatchedConnection, WatchedPath


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
