"""What the kernel says of a TCP socket: ``TCP_INFO``, queue lengths, sequence numbers."""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass
from typing import Final

from migrated.kernel import options

SEQUENCE_SPACE: Final = 1 << 32

ESTABLISHED: Final = 1
_STATE_NAMES: Final = (
    "?",
    "ESTABLISHED",
    "SYN-SENT",
    "SYN-RECEIVED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "CLOSED",
    "CLOSE-WAIT",
    "LAST-ACK",
    "LISTEN",
    "CLOSING",
    "SYN-RECEIVED",
)
_INFO_LENGTH: Final = 104
_HAS_TIMESTAMPS: Final = 1
_HAS_SACK: Final = 2
_HAS_WINDOW_SCALE: Final = 4


def after(sequence: int, other: int) -> bool:
    """Return whether ``sequence`` comes after ``other``, modulo 2^32 (RFC 9293, section 3.4)."""
    return 0 < (sequence - other) % SEQUENCE_SPACE < SEQUENCE_SPACE // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpInfo:
    """The part of ``struct tcp_info`` that rebinding needs.

    ``retransmits`` counts the retransmission time-outs in a row without an acknowledgement;
    window scales are shift counts; ``rto_s``, ``rtt_s`` and ``unheard_s``, the time since the last
    acknowledgement came, are in seconds.
    """

    state: int
    retransmits: int
    probes: int
    timestamps: bool
    sack: bool
    window_scaling: bool
    send_scale: int
    receive_scale: int
    rto_s: float
    rtt_s: float
    unacked_segments: int
    unheard_s: float = 0.0

    @property
    def state_name(self) -> str:
        """Return the state's name as RFC 9293 writes it."""
        return _STATE_NAMES[self.state] if self.state < len(_STATE_NAMES) else "?"


def tcp_info(sock: socket.socket) -> TcpInfo:
    """Read ``TCP_INFO``.

    Raises:
        OSError: the socket is not TCP.

    Source: ``struct tcp_info`` in ``include/uapi/linux/tcp.h``.
    """
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_LENGTH)
    words = struct.unpack_from("=24I", raw, 8)
    return TcpInfo(
        state=raw[0],
        retransmits=raw[2],
        probes=raw[3],
        timestamps=bool(raw[5] & _HAS_TIMESTAMPS),
        sack=bool(raw[5] & _HAS_SACK),
        window_scaling=bool(raw[5] & _HAS_WINDOW_SCALE),
        send_scale=raw[6] & 0xF,
        receive_scale=raw[6] >> 4,
        rto_s=words[0] / 1e6,
        rtt_s=words[15] / 1e6,
        unacked_segments=words[4],
        unheard_s=words[12] / 1e3,
    )


def queue_length(sock: socket.socket, request: int) -> int:
    """Return a queue's length in bytes (``SIOCINQ``, ``SIOCOUTQ`` or ``SIOCOUTQNSD``; tcp(7))."""
    return int(struct.unpack("=i", fcntl.ioctl(sock.fileno(), request, b"\0\0\0\0"))[0])


def sequence(sock: socket.socket, queue: int) -> int:
    """Return a queue's sequence number: the next one to be received, or to be written by the program.

    The socket must be in repair mode; the queue stays selected.
    """
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, queue)
    return sock.getsockopt(socket.IPPROTO_TCP, options.TCP_QUEUE_SEQ) % SEQUENCE_SPACE


def set_sequence(sock: socket.socket, queue: int, value: int) -> None:
    """Set a queue's sequence number. The socket must be in repair mode and disconnected."""
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_REPAIR_QUEUE, queue)
    sock.setsockopt(socket.IPPROTO_TCP, options.TCP_QUEUE_SEQ, struct.pack("=I", value % SEQUENCE_SPACE))
