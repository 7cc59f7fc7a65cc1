"""Freeze a connection in place: it neither sends nor hears anything, and no time-out ends it.

``TCP_USER_TIMEOUT`` alone does not keep a connection: a segment that can't even be sent
counts as a probe. So segments are sent to the loopback interface (a mark, a rule and a
route: ``migrated.kernel.routing``) where they vanish; ``IP_TRANSPARENT`` makes a source
address that is gone no error. A filter drops what comes in, which pins both sequence
numbers while two daemons talk about them.

Nothing here needs the program to stand still, and nothing ends when this process dies.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

from migrated.kernel import options
from migrated.kernel.errors import UnsupportedSocketError

FROZEN_MARK: Final = 0x4D694721
"""The mark of frozen sockets, ``MiG!``: unlikely to be anyone else's."""

_LONGEST_TIMEOUT_MS: Final = 2**31 - 1
_BPF_RETURN: Final = 0x06
_DROP_ALL: Final = struct.pack("=HBBI", _BPF_RETURN, 0, 0, 0)
_LONGEST_FILTER: Final = 4096  # BPF_MAXINSNS

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOptions:
    """The program's own values of the options that freezing changes; the time-out is in milliseconds."""

    mark: int
    user_timeout_ms: int
    transparent: bool
    keepalive: bool
    device: str


def is_frozen(sock: socket.socket) -> bool:
    """Return whether we have frozen this socket."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == FROZEN_MARK


def read_own_options(sock: socket.socket) -> OwnOptions:
    """Read the options that freezing changes from a socket that is not frozen."""
    return OwnOptions(
        mark=sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK),
        user_timeout_ms=sock.getsockopt(socket.IPPROTO_TCP, options.TCP_USER_TIMEOUT),
        transparent=bool(sock.getsockopt(*_transparent(sock))),
        keepalive=bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
        device=_device(sock),
    )


def freeze(sock: socket.socket) -> None:
    """Freeze a connection. Freezing twice is harmless.

    Raises:
        UnsupportedSocketError: the program has attached a socket filter of its own.
        OSError: CAP_NET_ADMIN is missing.
    """
    check_no_own_filter(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_USER_TIMEOUT, _LONGEST_TIMEOUT_MS)
    sock.setsockopt(*_transparent(sock), 1)
    if _device(sock):
        # A route through the loopback interface can't serve a socket that is bound to another one.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, FROZEN_MARK)
    # Last, because a program whose connection is deaf and not known to be frozen would wait for ever.
    attach_drop_filter(sock)


def unfreeze(sock: socket.socket, own: OwnOptions) -> None:
    """Give a frozen socket the program's own options back. The path must work, and the peer must be there."""
    restore_routing(sock, own)
    if own.device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, own.device.encode())
    listen_again(sock)


def restore_routing(sock: socket.socket, own: OwnOptions) -> None:
    """Undo what freezing did to outgoing segments, timers included; the filter stays."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, own.mark)
    sock.setsockopt(*_transparent(sock), int(own.transparent))
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_USER_TIMEOUT, own.user_timeout_ms)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(own.keepalive))


def listen_again(sock: socket.socket) -> None:
    """Take our filter away, if it is there: the connection hears its peer again."""
    if _filter(sock) == _DROP_ALL:
        sock.setsockopt(socket.SOL_SOCKET, options.SO_DETACH_FILTER, 0)


def attach_drop_filter(sock: socket.socket) -> None:
    """Have the kernel drop every segment that comes in for this socket.

    Raises:
        OSError: the program has locked its own filter.
    """
    program = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
    filter_program = struct.pack("@HP", 1, ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, options.SO_ATTACH_FILTER, filter_program)


def check_no_own_filter(sock: socket.socket) -> None:
    """Refuse a socket that carries a filter of its program.

    Raises:
        UnsupportedSocketError: it does.
    """
    if _filter(sock) not in (b"", _DROP_ALL):
        raise UnsupportedSocketError("the program has attached a socket filter of its own")


def _transparent(sock: socket.socket) -> tuple[int, int]:
    if sock.family == socket.AF_INET6:
        return socket.IPPROTO_IPV6, options.IPV6_TRANSPARENT
    return socket.IPPROTO_IP, options.IP_TRANSPARENT


def _device(sock: socket.socket) -> str:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode()


def _filter(sock: socket.socket) -> bytes:
    """Return the instructions of the attached filter. The kernel counts them, not bytes."""
    program = ctypes.create_string_buffer(_LONGEST_FILTER * len(_DROP_ALL))
    length = ctypes.c_uint32(_LONGEST_FILTER)
    level, name = socket.SOL_SOCKET, options.SO_GET_FILTER
    if _libc.getsockopt(sock.fileno(), level, name, program, ctypes.byref(length)) < 0:
        number = ctypes.get_errno()
        if number == errno.EACCES:  # an eBPF program can't be read back, and ours is none
            raise UnsupportedSocketError("the program has attached a socket filter of its own")
        raise OSError(number, os.strerror(number))
    return program.raw[: length.value * len(_DROP_ALL)]
