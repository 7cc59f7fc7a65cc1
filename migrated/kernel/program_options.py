"""The socket options that a program has set, as far as it would miss them on a new socket.

What freezing changes is not here: `migrated.kernel.freeze.OwnOptions` holds it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from migrated.kernel import options

_TCP, _IP, _IPV6, _SOCKET = socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.SOL_SOCKET
_MTU_DISCOVER: Final = 10  # IP_MTU_DISCOVER
_MTU_DISCOVER_6: Final = 23  # IPV6_MTU_DISCOVER
_FREEBIND: Final = 15  # IP_FREEBIND
_ZEROCOPY: Final = 60  # SO_ZEROCOPY

_NUMBERS: Final = (
    (_TCP, socket.TCP_NODELAY),
    (_TCP, socket.TCP_CORK),
    (_TCP, socket.TCP_KEEPIDLE),
    (_TCP, socket.TCP_KEEPINTVL),
    (_TCP, socket.TCP_KEEPCNT),
    (_TCP, socket.TCP_NOTSENT_LOWAT),
    (_IP, socket.IP_TOS),
    (_IP, socket.IP_TTL),
    (_IP, _MTU_DISCOVER),
    (_IP, _FREEBIND),
    (_SOCKET, socket.SO_OOBINLINE),
    (_SOCKET, socket.SO_RCVLOWAT),
    (_SOCKET, _ZEROCOPY),
    (_SOCKET, socket.SO_PRIORITY),  # after the type of service, which sets it too
)
_NUMBERS_IPV6: Final = (
    (_IPV6, socket.IPV6_TCLASS),
    (_IPV6, socket.IPV6_UNICAST_HOPS),
    (_IPV6, _MTU_DISCOVER_6),
)
_BYTES: Final = (
    (_SOCKET, socket.SO_LINGER, 8),
    (_SOCKET, socket.SO_RCVTIMEO, 16),
    (_SOCKET, socket.SO_SNDTIMEO, 16),
    (_TCP, socket.TCP_CONGESTION, 16),
)


class ProgramOptions(Struct, frozen=True, kw_only=True, array_like=True):
    """A program's own socket options.

    Attributes:
        numbers: level, option and value.
        texts: level, option and bytes, of those that are no number.
        only_ipv6: ``IPV6_V6ONLY``.
        reuse_address: ``SO_REUSEADDR``.
        nonblocking: ``O_NONBLOCK`` of the open file.
        send_buffer: bytes, as the kernel says them (twice what was set).
        receive_buffer: likewise.
        buffer_locks: which buffers the kernel may not resize.
    """

    numbers: tuple[tuple[int, int, int], ...]
    texts: tuple[tuple[int, int, bytes], ...]
    only_ipv6: bool
    reuse_address: int
    nonblocking: bool
    send_buffer: int
    receive_buffer: int
    buffer_locks: int


def read_program_options(sock: socket.socket) -> ProgramOptions:
    """Read what a program has set.

    Raises:
        OSError: the socket is not TCP.
    """
    return ProgramOptions(
        numbers=tuple((level, name, sock.getsockopt(level, name)) for level, name in _numbers(sock)),
        texts=tuple((level, name, sock.getsockopt(level, name, size)) for level, name, size in _BYTES),
        only_ipv6=sock.family == socket.AF_INET6 and bool(sock.getsockopt(_IPV6, socket.IPV6_V6ONLY)),
        reuse_address=sock.getsockopt(_SOCKET, socket.SO_REUSEADDR),
        nonblocking=not os.get_blocking(sock.fileno()),
        send_buffer=sock.getsockopt(_SOCKET, socket.SO_SNDBUF),
        receive_buffer=sock.getsockopt(_SOCKET, socket.SO_RCVBUF),
        buffer_locks=sock.getsockopt(_SOCKET, options.SO_BUF_LOCK),
    )


def apply_before_connecting(sock: socket.socket, wanted: ProgramOptions) -> None:
    """Set what a new socket must have before it is bound: its limits, and the families it serves.

    Raises:
        OSError: the kernel refuses.
    """
    if sock.family == socket.AF_INET6:
        sock.setsockopt(_IPV6, socket.IPV6_V6ONLY, wanted.only_ipv6)
    _size_buffer(sock, socket.SO_SNDBUF, options.SO_SNDBUFFORCE, wanted.send_buffer)
    _size_buffer(sock, socket.SO_RCVBUF, options.SO_RCVBUFFORCE, wanted.receive_buffer)
    sock.setsockopt(_SOCKET, options.SO_BUF_LOCK, wanted.buffer_locks)


def apply_when_connected(sock: socket.socket, wanted: ProgramOptions) -> None:
    """Set everything else, on a socket that has left repair mode.

    What has its value already is left alone: setting it would tie it to what was once the host's default.

    Raises:
        OSError: the kernel refuses.
    """
    for level, name, value in wanted.numbers:
        if sock.getsockopt(level, name) != value:
            sock.setsockopt(level, name, value)
    for level, name, text in wanted.texts:
        if sock.getsockopt(level, name, len(text) or 16) != text:
            _set_bytes(sock, level, name, text)
    sock.setsockopt(_SOCKET, socket.SO_REUSEADDR, wanted.reuse_address)
    os.set_blocking(sock.fileno(), not wanted.nonblocking)


def _numbers(sock: socket.socket) -> Iterator[tuple[int, int]]:
    yield from _NUMBERS
    if sock.family == socket.AF_INET6:
        yield from _NUMBERS_IPV6


def _set_bytes(sock: socket.socket, level: int, name: int, text: bytes) -> None:
    try:
        sock.setsockopt(level, name, text)
    except FileNotFoundError:
        # A congestion control whose module is gone: the connection goes on with the host's own.
        if (level, name) != (_TCP, socket.TCP_CONGESTION):
            raise


def _size_buffer(sock: socket.socket, option: int, force: int, size: int) -> None:
    """Give a buffer its size; where nobody may force (a user namespace), as much as the host allows."""
    if sock.getsockopt(_SOCKET, option) == size:
        return
    try:
        sock.setsockopt(_SOCKET, force, size // 2)
    except PermissionError:
        sock.setsockopt(_SOCKET, option, size // 2)
