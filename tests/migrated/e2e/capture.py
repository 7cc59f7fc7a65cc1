"""What daemons say to each other through an interface of a lab host, as a packet socket sees it."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from migrated.config import CONTROL_PORT
from migrated.lab import Host

_EVERYTHING = 0x0003
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33  # asm-generic/socket.h
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/if_packet.h
_STATISTICS = struct.Struct("=II")  # taken, and lost since there was no room for them
_BUFFER_BYTES = 64 << 20
_STEP = struct.Struct("=HBBI")  # code, steps to skip if true and if false, operand; linux/bpf_common.h
_NOTHING = ((0x06, 0, 0, 0),)  # BPF_RET with a length of 0
_OF_CONTROL_PORT = (
    (0xB1, 0, 0, 14),  # the length of the IPv4 header
    (0x48, 0, 0, 14),  # the source port behind it
    (0x15, 2, 0, CONTROL_PORT),
    (0x48, 0, 0, 16),  # the destination port
    (0x15, 0, 1, CONTROL_PORT),
    (0x06, 0, 0, 1 << 16),
    *_NOTHING,
)
_ETHERNET_BYTES = 14
_IPV4 = 0x0800
_PROTOCOL_AT = 9
_ADDRESSES_AT = 12


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 packet of UDP or TCP; ``payload`` is what follows the UDP header (for TCP: the ports)."""

    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    payload: bytes


class Capture:
    """All packets from or to a control port that pass an interface during a ``with`` block."""

    def __init__(self, host: Host, interface: str) -> None:
        self.packets: list[Packet] = []
        self._sock = host.call(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
        )
        # A reader that is not scheduled for a while is to miss nothing.
        _let_in(self._sock, _OF_CONTROL_PORT)
        with suppress(PermissionError):
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._sock.bind((interface, 0))
        self._sock.settimeout(0.1)
        self._ending = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _let_in(self._sock, _NOTHING)  # what has come can still be read
        self._ending.set()
        self._reader.join()
        with self._sock as sock:
            _, lost = _STATISTICS.unpack(sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size))
        assert lost == 0, f"{lost} packets were not captured: what is counted here says nothing"

    def udp(self, *, to: str, port: int) -> list[Packet]:
        """Return the UDP datagrams so far that go to an address and port."""
        return [
            p
            for p in list(self.packets)
            if (p.protocol, p.destination, p.destination_port) == (socket.IPPROTO_UDP, to, port)
        ]

    def _read(self) -> None:
        while True:
            try:
                frame = self._sock.recv(1 << 16)
            except TimeoutError:
                if self._ending.is_set():  # and all that has come was read
                    return
                continue
            packet = _packet(frame)
            if packet is not None:
                self.packets.append(packet)


def _let_in(sock: socket.socket, steps: Sequence[tuple[int, int, int, int]]) -> None:
    """Have the kernel drop what such a program does not let in."""
    code = b"".join(_STEP.pack(*step) for step in steps)
    program = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("@HL", len(steps), ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def _packet(frame: bytes) -> Packet | None:
    if struct.unpack_from("!H", frame, _ETHERNET_BYTES - 2)[0] != _IPV4:
        return None
    packet = frame[_ETHERNET_BYTES:]
    header = (packet[0] & 0xF) * 4
    protocol = packet[_PROTOCOL_AT]
    if protocol not in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
        return None
    source, destination = (socket.inet_ntoa(packet[at : at + 4]) for at in (_ADDRESSES_AT, _ADDRESSES_AT + 4))
    source_port, destination_port = struct.unpack_from("!HH", packet, header)
    payload = (
        packet[header + 8 : struct.unpack_from("!H", packet, 2)[0]] if protocol == socket.IPPROTO_UDP else b""
    )
    return Packet(protocol, source, source_port, destination, destination_port, payload)
