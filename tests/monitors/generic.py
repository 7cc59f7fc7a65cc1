"""Messages of generic netlink, put together byte by byte, and a kernel whose answers are laid out."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

DONE, ERROR = 3, 2


def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def message(kind: int, payload: bytes, length: int | None = None) -> bytes:
    size = 16 + len(payload) if length is None else length
    return struct.pack("=IHHII", size, kind, 2, 1, 4711) + payload + bytes(-len(payload) % 4)


def generic(family: int, command: int, *attributes: bytes) -> bytes:
    return message(family, struct.pack("=BBH", command, 1, 0) + b"".join(attributes))


def end(status: int = 0) -> bytes:
    return message(DONE, struct.pack("=i", status))


def refusal(status: int) -> bytes:
    return message(ERROR, struct.pack("=i", status) + bytes(16))


@contextmanager
def kernel(*answers: bytes) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give a socket that gets these answers, one datagram each, and its other end, for the requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.settimeout(60.0)
        for answer in answers:
            theirs.send(answer)
        yield ours, theirs
