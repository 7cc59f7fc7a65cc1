"""Put bytes back into a socket's queues, whatever the size of its buffers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from migrated.kernel import options

_RECEIVE_CHUNK: Final = 64 * 1024
"""Bytes written to a receive queue at a time: what the kernel puts into one buffer of page fragments."""


def send_again(sock: socket.socket, data: bytes) -> None:
    """Queue bytes as ordinary unsent data: they leave at once, without a retransmission timer.

    The socket must have left repair mode. The send buffer grows for as long as this takes only.

    Raises:
        OSError: the kernel did not take all of it.
    """
    if not data:
        return
    with _large_buffer(sock, socket.SO_SNDBUF, options.SO_SNDBUFFORCE, len(data)):
        rest = memoryview(data)
        while rest:
            rest = rest[sock.send(rest, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) :]


def refill_receive_queue(sock: socket.socket, unread: bytes) -> None:
    """Write bytes that the program has not read to the receive queue of a socket in repair mode.

    Raises:
        OSError: the kernel did not take all of them.
    """
    if not unread:
        return
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, options.RECEIVE_QUEUE)
    with _large_buffer(sock, socket.SO_RCVBUF, options.SO_RCVBUFFORCE, len(unread)):
        rest = memoryview(unread)
        while rest:
            rest = rest[sock.send(rest[:_RECEIVE_CHUNK], socket.MSG_DONTWAIT) :]


def limit_send_buffer(sock: socket.socket) -> None:
    """Where no buffer may be forced beyond its limit, keep the send buffer at half of it.

    A move queues all that is on the way once more. The kernel lets a buffer run over by a little, so that
    what was held does not fit again into a buffer of the same size.
    """
    locks = sock.getsockopt(socket.SOL_SOCKET, options.SO_BUF_LOCK)
    size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    try:
        sock.setsockopt(socket.SOL_SOCKET, options.SO_SNDBUFFORCE, size // 2)
        sock.setsockopt(socket.SOL_SOCKET, options.SO_BUF_LOCK, locks)
    except PermissionError:
        most = _ordinary_limit(socket.SO_SNDBUF) // 2
        # A program that has chosen a size may count on it: what it sends ahead must not become more.
        chosen = bool(locks & options.SOCK_SNDBUF_LOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, min(most, size // 2) if chosen else most)


def _ordinary_limit(option: int) -> int:
    name = "wmem_max" if option == socket.SO_SNDBUF else "rmem_max"
    return int(Path(f"/proc/sys/net/core/{name}").read_text())


@contextmanager
def _large_buffer(sock: socket.socket, option: int, force: int, length: int) -> Iterator[None]:
    """Let a buffer hold ``length`` bytes more, with the kernel's overhead, and give it back its size.

    Setting a size would switch the kernel's own sizing off for ever; its lock is put back too.
    """
    size = sock.getsockopt(socket.SOL_SOCKET, option)
    locks = sock.getsockopt(socket.SOL_SOCKET, options.SO_BUF_LOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, size + 2 * length)
    except PermissionError:
        # In a user namespace nobody may force; `limit_send_buffer` has left room up to the ordinary limit.
        force, limit = option, _ordinary_limit(option)
        if size < 2 * limit:
            sock.setsockopt(socket.SOL_SOCKET, option, limit)
    try:
        yield
    finally:
        # The kernel doubles what is set, and says the doubled size.
        sock.setsockopt(socket.SOL_SOCKET, force, size // 2)
        sock.setsockopt(socket.SOL_SOCKET, options.SO_BUF_LOCK, locks)
