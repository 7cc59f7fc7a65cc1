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
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from migrated.kernel import options, tcp
from migrated.kernel.errors import UnsupportedSocketError
from migrated.kernel.freeze import attach_drop_filter
from migrated.kernel.tcp import TcpInfo

_SEQUENCE: Final = tcp.SEQUENCE_SPACE
_WINDOW: Final = struct.Struct("=5I")
_OPTION: Final = struct.Struct("=II")
_RECEIVE_CHUNK: Final = 64 * 1024
"""Bytes written to a receive queue at a time: what the kernel puts into one buffer of page fragments."""

_EPHEMERAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")

SMALLEST_WINDOW: Final = 1200
"""Bytes that both ends take for granted after a move.

An update of a closed window may have been lost on the way; with this much the end that speaks first
can provoke another.
"""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPoint:
    """An address in canonical text form, without an IPv4-mapping prefix, and a TCP port."""

    address: str
    port: int

    def __str__(self) -> str:
        """Return ``address:port``, with brackets around IPv6."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


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


def local_end(sock: socket.socket) -> EndPoint:
    """Return the local address and port of the socket."""
    return _end_point(sock.getsockname())


def remote_end(sock: socket.socket) -> EndPoint:
    """Return the peer's address and port."""
    return _end_point(sock.getpeername())


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


def bind_keeping_port(sock: socket.socket, local: EndPoint, *, same_address: bool) -> None:
    """Bind a disconnected socket, to the same port if that can be had without losing mobility.

    A bind with an explicit port locks the port for the socket's life, and with it the address. So an
    ephemeral port is asked for by a range of one. A port outside the ephemeral range (a server's) is
    bound explicitly where the address stays, because firewalls know that port, and given up elsewhere.

    Args:
        sock: disconnected and in repair mode (which lets it share the port with a listener).
        local: the wanted address, and the port it had.
        same_address: whether the socket had this address before.

    Raises:
        UnsupportedSocketError: the socket's port is locked and the address is another one.
        OSError: the address is not there.

    Source: ip(7), ``IP_LOCAL_PORT_RANGE``; ``__inet_bind`` in ``net/ipv4/af_inet.c``.
    """
    lowest, highest = map(int, _EPHEMERAL_RANGE.read_text().split())
    any_port = socket_address(sock, EndPoint(address=local.address, port=0))
    try:
        if lowest <= local.port <= highest:
            _bind_ephemeral(sock, any_port, local.port)
        elif same_address:
            sock.bind(socket_address(sock, local))
        else:
            sock.bind(any_port)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        if not same_address:
            raise UnsupportedSocketError(
                "its local port is bound for good, so its address can't change"
            ) from error
        # Locked on this very address and port: the socket never lost them.


def _bind_ephemeral(
    sock: socket.socket, any_port: tuple[str, int] | tuple[str, int, int, int], port: int
) -> None:
    sock.setsockopt(socket.IPPROTO_IP, options.IP_LOCAL_PORT_RANGE, struct.pack("=HH", port, port))
    try:
        sock.bind(any_port)
        return
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    finally:
        sock.setsockopt(socket.IPPROTO_IP, options.IP_LOCAL_PORT_RANGE, 0)
    sock.bind(any_port)


def reserve_port(address: str) -> socket.socket:
    """Reserve an ephemeral port on an address that a connection will move to.

    The moving end must name its new port before its socket can have it. Close the reservation right
    before the socket is rebound: a port that is asked for by a range must be free.

    It is a new port each time. A connection that comes back to a place where it was before could meet
    segments there that were held up on the way; it would answer them, and its answer would meet nobody and
    be taken for the end of the connection (RFC 9293, section 3.4.3, "quiet time").

    Args:
        address: a local address.

    Returns:
        A socket that holds the port until it is closed.

    Raises:
        OSError: the address is not there, or no port is free.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    reservation = socket.socket(family, socket.SOCK_STREAM)
    try:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(socket_address(reservation, EndPoint(address=address, port=0)))
        # What the peer sends there too early must not be answered with a reset.
        attach_drop_filter(reservation)
        reservation.listen(0)
    except BaseException:
        reservation.close()
        raise
    return reservation


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
    sock.connect(socket_address(sock, remote))
    _restore_options(sock, snapshot)
    sizing = WindowSizing(
        clamp=sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP),
        locks=sock.getsockopt(socket.SOL_SOCKET, options.SO_BUF_LOCK),
    )
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_TIMESTAMP, struct.pack("=I", snapshot.timestamp))
    _refill_receive_queue(sock, snapshot.unread)
    if first_in_place:
        window = snapshot.window.as_first_in_place(snapshot.rcv_nxt)
        _announce_no_window(sock, window, sizing)
    else:
        window = snapshot.window.as_second_in_place()
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_WINDOW, _pack_window(window))
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, options.NO_QUEUE)
    return sizing


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


def socket_address(sock: socket.socket, end: EndPoint) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the end point as this socket's family writes it; IPv4 on an IPv6 socket is mapped."""
    if sock.family == socket.AF_INET:
        return end.address, end.port
    address = end.address if ":" in end.address else f"::ffff:{end.address}"
    return address, end.port, 0, 0


def _end_point(name: tuple[str, int] | tuple[str, int, int, int]) -> EndPoint:
    address = ip_address(name[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return EndPoint(address=str(mapped or address), port=name[1])


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


def _refill_receive_queue(sock: socket.socket, unread: bytes) -> None:
    if not unread:
        return
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, options.RECEIVE_QUEUE)
    with _large_buffer(sock, socket.SO_RCVBUF, options.SO_RCVBUFFORCE, len(unread)):
        rest = memoryview(unread)
        while rest:
            rest = rest[sock.send(rest[:_RECEIVE_CHUNK], socket.MSG_DONTWAIT) :]


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
        # In a user namespace nobody may. The buffer held these bytes before, so it holds them again.
        yield
        return
    try:
        yield
    finally:
        # The kernel doubles what is set, and says the doubled size.
        sock.setsockopt(socket.SOL_SOCKET, force, size // 2)
        sock.setsockopt(socket.SOL_SOCKET, options.SO_BUF_LOCK, locks)
