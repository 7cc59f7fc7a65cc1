"""What a program may send along when it asks for the session of its connection."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from migrated.applications.asking import _connection
from migrated.applications.refusal import RefusedError

NONE: dict[str, Callable[[], int]] = {
    "a file": lambda: os.open(__file__, os.O_RDONLY),
    "a folder": lambda: os.open("/", os.O_RDONLY),
    "a path": lambda: os.open("/", os.O_PATH),
    "an event": lambda: os.eventfd(0),
    "a process": lambda: os.pidfd_open(os.getpid()),
    "memory": lambda: os.memfd_create("socket:[1]"),
    "a datagram socket": lambda: socket.socket(type=socket.SOCK_DGRAM).detach(),
    "a Unix socket": lambda: socket.socket(socket.AF_UNIX).detach(),
    "a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).detach(),
}


@pytest.mark.parametrize("made", NONE.values(), ids=NONE)
def test_what_is_no_connection_is_refused_and_leaves_nothing_open(made: Callable[[], int]) -> None:
    number = made()
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            with pytest.raises(RefusedError, match="no TCP connection"):
                _connection(number)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        with suppress(OSError):
            os.close(number)


def test_a_connection_is_told_by_its_inode_and_owner() -> None:
    with socket.socket() as sock:
        status = os.fstat(sock.fileno())
        assert _connection(sock.fileno()) == (status.st_ino, os.getuid())
