"""Read a TCP connection out of its socket, and put it into the same socket under other addresses.

The order of the calls matters; each was tried on Linux 6.18. A socket that these functions
work on belongs to programs that are held still (``migrated.kernel.ptrace``): in repair
mode their own ``recv`` would fail with EPERM.

Source: ``net/ipv4/tcp.c`` of Linux (``do_tcp_setsockopt``, ``tcp_disconnect``), tcp(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from migrated.kernel import options, tcp
from migrated.kernel.buffers import refill_receive_queue
from migrated.kernel.endpoint import EndPoint, local_end, remote_end, socket_address
from migrated.kernel.errors import RebindError, UnsupportedSocketError
from migrated.kernel.tcp import TcpInfo

_SEQUENCE: Final = tcp.SEQUENCE_SPACE
_WINDOW: Final = struct.Struct("=5I")
_OPTION: Final = struct.Struct("=II")

_LARGEST_MAXSEG: Final = 32_767
"""Bytes that may be set by ``TCP_MAXSEG``; segments on a loopback interface are larger."""

SMALLEST_WINDOW: Final = 1200
"""Bytes that both ends take for granted after a move.

An update of a closed window may have been lost on the way; with this much the end that speaks first
can provoke another.
"""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """``struct tcp_repair_window``: window limits as sequence numbers and bytes."""

    snd_wl1: int
    snd_wnd: int
    max_window: int
    rcv_wnd: int
    rcv_wup: int

    def as_first_in_place(self, rcv_nxt: int) -> Window:
        """Return the window of an end that must keep still until it hears the other.

        The send window is zero. The other end's window probe carries its sequence number minus one;
        setting ``rcv_wup`` and ``snd_wl1`` below that lets the probe open the send window. The right
        edge of the receive window stays where it was, or is `SMALLEST_WINDOW` away.
        """
        edge = (self.rcv_wup + self.rcv_wnd - (rcv_nxt - 1)) % _SEQUENCE
        return Window(
            snd_wl1=(rcv_nxt - 2) % _SEQUENCE,
            snd_wnd=0,
            max_window=self.max_window,
            rcv_wnd=max(edge, SMALLEST_WINDOW),
            rcv_wup=(rcv_nxt - 1) % _SEQUENCE,
        )

    def as_second_in_place(self) -> Window:
        """Return the window of the end that speaks first: at least what the silent end grants everybody."""
        send_window = max(self.snd_wnd, SMALLEST_WINDOW)
        return replace(self, snd_wnd=send_window, max_window=max(self.max_window, send_window))


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSizing:
    """How the kernel sizes the receive window: the clamp in bytes, and which buffers it may not resize."""

    clamp: int
    locks: int

    def apply(self, sock: socket.socket) -> None:
        """Give a socket this sizing."""
        sock.setsockopt(socket.SOL_SOCKET, options.SO_BUF_LOCK, self.locks)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, self.clamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that the kernel knows of a connection and that a new connection does not.

    Sequence numbers are modulo 2^32: ``snd_una`` the oldest unacknowledged, ``snd_nxt`` the next to
    send, ``rcv_nxt`` the next expected. ``outgoing`` holds the bytes from ``snd_una`` on, sent or not;
    ``unread`` those received and not yet read by the program.
    """

    local: EndPoint
    remote: EndPoint
    info: TcpInfo
    mss: int
    timestamp: int
    window: Window
    snd_una: int
    snd_nxt: int
    rcv_nxt: int
    outgoing: bytes
    unread: bytes


@contextmanager
def repair_mode(sock: socket.socket) -> Iterator[None]:
    """Enter repair mode, and leave it silently at the end."""
    set_repair(sock, options.REPAIR_ON)
    try:
        yield
    finally:
        set_repair(sock, options.REPAIR_OFF_SILENT)


def set_repair(sock: socket.socket, mode: int) -> None:
    """Set ``TCP_REPAIR`` to one of ``options.REPAIR_*``."""
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR, mode)


def check_supported(sock: socket.socket) -> None:
    """Refuse sockets whose state can't be carried over.

    Raises:
        UnsupportedSocketError: MPTCP, a ULP such as kTLS, a peek offset, or a state other than ESTABLISHED.
    """
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == options.IPPROTO_MPTCP:
        raise UnsupportedSocketError("an MPTCP socket: the kernel moves its subflows itself")
    ulp = sock.getsockopt(socket.IPPROTO_TCP, options.TCP_ULP, 16).rstrip(b"\0").decode()
    if ulp:
        raise UnsupportedSocketError(f"an upper-layer protocol is attached (`{ulp}`)")
    if sock.getsockopt(socket.SOL_SOCKET, options.SO_PEEK_OFF) >= 0:
        raise UnsupportedSocketError("the program uses SO_PEEK_OFF")
    info = tcp.tcp_info(sock)
    if info.state != tcp.ESTABLISHED:
        raise UnsupportedSocketError(f"the connection is {info.state_name}, not ESTABLISHED")


def take_snapshot(sock: socket.socket) -> Snapshot:
    """Read a connection out of its socket, which must be in repair mode.

    Raises:
        UnsupportedSocketError: see `check_supported`.
        OSError: a system call failed.
    """
    check_supported(sock)
    if _has_urgent_data(sock):
        raise RebindError("urgent data wait to be read: a queue that holds them can't be copied")
    write_seq = tcp.sequence(sock, options.SEND_QUEUE)
    outgoing = _peek(sock, tcp.queue_length(sock, options.SIOCOUTQ))
    rcv_nxt = tcp.sequence(sock, options.RECEIVE_QUEUE)
    unread = _peek(sock, tcp.queue_length(sock, options.SIOCINQ))
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, options.NO_QUEUE)
    return Snapshot(
        local=local_end(sock),
        remote=remote_end(sock),
        info=tcp.tcp_info(sock),
        mss=sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG),
        timestamp=sock.getsockopt(socket.IPPROTO_TCP, options.TCP_TIMESTAMP) % _SEQUENCE,
        window=_read_window(sock),
        snd_una=(write_seq - len(outgoing)) % _SEQUENCE,
        snd_nxt=(write_seq - tcp.queue_length(sock, options.SIOCOUTQNSD)) % _SEQUENCE,
        rcv_nxt=rcv_nxt,
        outgoing=outgoing,
        unread=unread,
    )


def disconnect(sock: socket.socket) -> None:
    """Forget the connection without a packet. The descriptor and its epoll registrations stay.

    Raises:
        OSError: the socket is not in repair mode, or the kernel refuses.
    """
    address = struct.pack("=H14x", socket.AF_UNSPEC)
    if _libc.connect(sock.fileno(), address, len(address)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # ECONNABORTED, which the program must not see


def connect_restored(
    sock: socket.socket, snapshot: Snapshot, remote: EndPoint, *, send_from: int, first_in_place: bool
) -> WindowSizing:
    """Connect a bound socket in repair mode, which sends nothing, and put the connection's state into it.

    Args:
        sock: disconnected, bound and in repair mode.
        snapshot: the connection as it was.
        remote: where the peer is now, or will be.
        send_from: the first sequence number to send: what the peer has received.
        first_in_place: keep still until the peer is heard (`Window.as_first_in_place`).

    Returns:
        What an end that was first in place must be given back (`WindowSizing`).

    Raises:
        OSError: a system call failed; the socket is unconnected or half restored.
    """
    tcp.set_sequence(sock, options.SEND_QUEUE, send_from)
    tcp.set_sequence(sock, options.RECEIVE_QUEUE, snapshot.rcv_nxt - len(snapshot.unread))
    # Known only after the connect, the segment size would begin at the smallest that hosts must take.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, min(snapshot.mss, _LARGEST_MAXSEG))
    sock.connect(socket_address(sock, remote))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 0)
    _restore_options(sock, snapshot)
    sizing = WindowSizing(
        clamp=sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP),
        locks=sock.getsockopt(socket.SOL_SOCKET, options.SO_BUF_LOCK),
    )
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_TIMESTAMP, struct.pack("=I", snapshot.timestamp))
    refill_receive_queue(sock, snapshot.unread)
    if first_in_place:
        window = snapshot.window.as_first_in_place(snapshot.rcv_nxt)
        _announce_no_window(sock, window, sizing)
    else:
        window = snapshot.window.as_second_in_place()
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_WINDOW, _pack_window(window))
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, options.NO_QUEUE)
    return sizing


def _has_urgent_data(sock: socket.socket) -> bool:
    waiting = select.poll()
    waiting.register(sock.fileno(), select.POLLPRI)
    return any(events & select.POLLPRI for _, events in waiting.poll(0))


def _peek(sock: socket.socket, length: int) -> bytes:
    """Read a repair queue without emptying it. Asking for nothing would say EAGAIN."""
    if not length:
        return b""
    data = sock.recv(length, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    if len(data) != length:
        raise OSError(errno.EIO, f"a queue of {length} bytes gave {len(data)}")
    return data


def _read_window(sock: socket.socket) -> Window:
    raw = sock.getsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_WINDOW, _WINDOW.size)
    snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup = _WINDOW.unpack(raw)
    return Window(snd_wl1=snd_wl1, snd_wnd=snd_wnd, max_window=max_window, rcv_wnd=rcv_wnd, rcv_wup=rcv_wup)


def _pack_window(window: Window) -> bytes:
    return _WINDOW.pack(window.snd_wl1, window.snd_wnd, window.max_window, window.rcv_wnd, window.rcv_wup)


def _announce_no_window(sock: socket.socket, window: Window, sizing: WindowSizing) -> None:
    """Keep the kernel from announcing a larger window when the program reads.

    It does so unless the open window is more than half of the clamp; and the clamp must not follow the
    growth of the receive buffer.
    """
    still = WindowSizing(clamp=2 * (window.rcv_wnd - 1) - 1, locks=sizing.locks | options.SOCK_RCVBUF_LOCK)
    still.apply(sock)


def _restore_options(sock: socket.socket, snapshot: Snapshot) -> None:
    info = snapshot.info
    negotiated = [_OPTION.pack(options.TCPOPT_MSS, snapshot.mss)]
    if info.window_scaling:
        scales = info.send_scale | info.receive_scale << 16
        negotiated.append(_OPTION.pack(options.TCPOPT_WINDOW, scales))
    if info.sack:
        negotiated.append(_OPTION.pack(options.TCPOPT_SACK_PERMITTED, 0))
    if info.timestamps:
        negotiated.append(_OPTION.pack(options.TCPOPT_TIMESTAMP, 0))
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_OPTIONS, b"".join(negotiated))
