"""Ask the kernel for its TCP sockets in binary form.

``/proc/net/tcp`` takes 11 ms for each family however few sockets there are, because the kernel walks its
whole hash table with a lock for each bucket. A dump takes 2 ms, and asking for one socket by its addresses
and ports 3 µs, whatever else there is. A reader of our own costs a tenth of pyroute2's.

Source: sock_diag(7); ``include/uapi/linux/inet_diag.h``; ``struct tcp_info`` in ``include/uapi/linux/tcp.h``.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, NamedTuple

from monitors import nlmsg

ANSWERS_AT_ONCE: Final = 32
"""How many sockets are asked for in one go; that many answers fit into a socket's usual receive buffer."""

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_ALL_STATES: Final = 0xFFFFFFFF
_NO_COOKIE: Final = 0xFFFFFFFF
_WITH_INFO: Final = 1 << 1  # the bit of INET_DIAG_INFO
_INET_DIAG_INFO: Final = 2

# struct inet_diag_req_v2: family, protocol, extensions, states, and struct inet_diag_sockid: local and remote
# port, local and remote address, interface, cookie.
_REQUEST: Final = struct.Struct("=BBBxI2s2s16s16sIII")
_MESSAGE: Final = struct.Struct("=BB2x2s2s16s16s12x12xII")  # struct inet_diag_msg, up to the inode
_ATTRIBUTES: Final = nlmsg.HEADER.size + _MESSAGE.size
_ANSWER: Final = struct.Struct(f"=IH{_ATTRIBUTES - 10}xI")  # struct nlmsghdr's length and type; the inode
_INFO: Final = struct.Struct("=2xBxB3xI12xI4xI32xII84xQ")  # struct tcp_info, what `TcpDetails` has of it
_ROOM: Final = 8192  # bytes; one answer has about 400


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketRow:
    """A TCP socket: its state, addresses as 4 or 16 bytes, ports, owner, and inode (0 if nobody holds it)."""

    state: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    uid: int
    inode: int


class TcpDetails(NamedTuple):
    """What TCP knows of a connection, in the kernel's units.

    Attributes:
        retransmits: how often the oldest segment was sent again in vain.
        backoff: how often the time-out was doubled since the last answer.
        rto_us: the retransmission time-out.
        unacked: segments on their way.
        lost: segments taken for lost.
        rtt_us: the smoothed round-trip time; 0 if there was none to measure yet.
        rttvar_us: its mean deviation.
        delivery_rate: bytes per second; 0 if there was nothing to measure yet.
    """

    retransmits: int
    backoff: int
    rto_us: int
    unacked: int
    lost: int
    rtt_us: int
    rttvar_us: int
    delivery_rate: int


def tcp_sockets(family: int, states: frozenset[int]) -> Iterator[SocketRow]:
    """Yield the TCP sockets of a family in this network namespace that are in one of the states.

    Args:
        family: ``AF_INET`` or ``AF_INET6``; sockets of the latter may have IPv4-mapped addresses.
        states: numbers as in ``TCP_INFO``.

    Raises:
        OSError: the kernel refuses; with ``ENOENT`` it was built without this interface.
    """
    body = _REQUEST.pack(
        family, socket.IPPROTO_TCP, 0, sum(1 << state for state in states), b"", b"", b"", b"", 0, 0, 0
    )
    for datagram, messages in nlmsg.dump(_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, body):
        for _, start, _ in messages:
            yield _row(family, datagram, start)


def is_available() -> bool:
    """Return whether this kernel answers questions about TCP sockets.

    Raises:
        OSError: it refuses for another reason than that it was built without.
    """
    try:
        # Of no state there is no socket, and the kernel looks at none.
        list(tcp_sockets(socket.AF_INET, frozenset()))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EPROTONOSUPPORT):
            raise
        return False
    return True


def socket_question(local: tuple[str, int], remote: tuple[str, int], index: int) -> bytes:
    """Return the request for the details of one connection.

    Args:
        local: its own address, in canonical text form, and port.
        remote: those of its other end.
        index: the interface that its socket is bound to, if it is bound to one.

    Raises:
        ValueError: an address is none.

    Source: ``inet_diag_find_one_icsk`` in ``net/ipv4/inet_diag.c``: an IPv4 connection is found among IPv4's
        even if its socket is an IPv6 one, and a socket that is not bound whatever the interface.
    """
    here, there = ip_address(local[0]), ip_address(remote[0])
    family = socket.AF_INET if here.version == 4 else socket.AF_INET6
    body = _REQUEST.pack(
        family,
        socket.IPPROTO_TCP,
        _WITH_INFO,
        _ALL_STATES,
        local[1].to_bytes(2, "big"),
        remote[1].to_bytes(2, "big"),
        here.packed,
        there.packed,
        index,
        _NO_COOKIE,
        _NO_COOKIE,
    )
    return nlmsg.question(_SOCK_DIAG_BY_FAMILY, body)


def tcp_details(questions: Sequence[bytes]) -> Iterator[list[tuple[int, TcpDetails]]]:
    """Yield what TCP knows of connections, by the inode of the socket, some at a time.

    Those that do not exist are left out. Where another has taken the place of one, it is the other that is
    found: look at the inode.

    Args:
        questions: made by `socket_question`.

    Raises:
        OSError: the kernel refuses.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        for first in range(0, len(questions), ANSWERS_AT_ONCE):
            some = questions[first : first + ANSWERS_AT_ONCE]
            netlink.send(b"".join(some))
            yield _answers(netlink, len(some))


def _answers(netlink: socket.socket, count: int) -> list[tuple[int, TcpDetails]]:
    """Take as many answers. The kernel gave them while it took the questions, so nothing is waited for."""
    found = []
    answer = bytearray(_ROOM)
    for _ in range(count):
        length = netlink.recv_into(answer, 0, socket.MSG_DONTWAIT)
        _, kind, inode = _ANSWER.unpack_from(answer)
        if kind == nlmsg.ERROR:
            _excuse(answer)
        elif where := _info(answer, length):
            found.append((inode, TcpDetails._make(_INFO.unpack_from(answer, where))))
    return found


def _excuse(answer: bytearray) -> None:
    """Let it pass that there is no such socket, and nothing else."""
    number = nlmsg.refusal(answer, nlmsg.HEADER.size)
    if number != errno.ENOENT:
        raise OSError(number, os.strerror(number))


def _info(answer: bytearray, length: int) -> int:
    """Return where ``struct tcp_info`` starts; 0 if it is not there, as of a connection that is gone."""
    # `nlmsg.attributes` by hand: this is done a thousand times a second.
    place = _ATTRIBUTES
    while place < length:
        size, kind = nlmsg.ATTRIBUTE.unpack_from(answer, place)
        if kind == _INET_DIAG_INFO:
            return place + nlmsg.ATTRIBUTE.size
        place += nlmsg.aligned(size)
    return 0


def _row(family: int, datagram: bytes, start: int) -> SocketRow:
    _, state, local_port, remote_port, local, remote, uid, inode = _MESSAGE.unpack_from(datagram, start)
    size = 4 if family == socket.AF_INET else 16
    return SocketRow(
        state=state,
        local=local[:size],
        local_port=int.from_bytes(local_port, "big"),
        remote=remote[:size],
        remote_port=int.from_bytes(remote_port, "big"),
        uid=uid,
        inode=inode,
    )
