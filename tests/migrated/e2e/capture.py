"""What passes an interface of a lab host, as a packet socket sees it."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from migrated.lab import Host

_EVERYTHING = 0x0003
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33  # asm-generic/socket.h
_BUFFER_BYTES = 64 << 20
_NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)  # BPF_RET with a length of 0; linux/bpf_common.h
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
    """All packets that pass an interface during a ``with`` block."""

    def __init__(self, host: Host, interface: str) -> None:
        self.packets: list[Packet] = []
        self._sock = host.call(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
        )
        # A reader that is not scheduled for a while is to miss nothing.
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
        _take_no_more(self._sock)
        self._ending.set()
        self._reader.join()
        self._sock.close()

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


def _take_no_more(sock: socket.socket) -> None:
    """Let nothing more in; what has come can still be read."""
    program = ctypes.create_string_buffer(_NOTHING, len(_NOTHING))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HL", 1, ctypes.addressof(program)))


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
