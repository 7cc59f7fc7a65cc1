"""The daemon's UDP sockets: datagrams with the local address that each came to or shall leave from."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Final

from migrated.control.socketfile import ControlError
from sessionlayer.protocol.limits import DATAGRAM_MAX
from sessionlayer.protocol.values import Path

_log = logging.getLogger(__name__)

_BATCH: Final = 64
"""Datagrams read in one turn of the loop; more wait for the next, so that a flood can't starve the rest."""

_ROOM: Final = DATAGRAM_MAX + 1
_ANCILLARY: Final = 128
_PKTINFO4: Final = struct.Struct("=i4s4s")
_PKTINFO6: Final = struct.Struct("=16sI")
_IP_PKTINFO: Final = 8


class DatagramPort:
    """One UDP port in both families.

    Args:
        port: the control port.
        deliver: called with every datagram and the path that it came over.
        interface_of: the index of the interface that has a local address, or 0 to let the kernel route.

    Source: ip(7), ``IP_PKTINFO``; RFC 3542, ``IPV6_PKTINFO``.
    """

    def __init__(
        self, port: int, deliver: Callable[[bytes, Path], None], interface_of: Callable[[str], int]
    ) -> None:
        self._port = port
        self._deliver = deliver
        self._interface_of = interface_of
        self._sockets: dict[int, socket.socket] = {}

    def open(self) -> None:
        """Take the port.

        Raises:
            ControlError: it can't be had.
        """
        try:
            self._sockets = _bound(self._port)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            message = f"cannot open UDP port {self._port}: {reason}; is another `migrated` running?"
            raise ControlError(f"{message} See `control_port`") from error

    def start(self) -> None:
        """Begin to read, in the running loop."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets.values():
            loop.add_reader(sock.fileno(), self._readable, sock)

    def close(self) -> None:
        """Stop reading and close the sockets."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets.values():
            loop.remove_reader(sock.fileno())
            sock.close()

    def send(self, data: bytes, path: Path) -> None:
        """Send one datagram over a path. What can't be sent counts as lost: the protocol repeats it."""
        remote = ip_address(path.remote_address)
        sock = self._sockets.get(socket.AF_INET6 if remote.version == 6 else socket.AF_INET)
        if sock is None:
            return
        try:
            sock.sendmsg([data], self._ancillary(path), 0, (path.remote_address, path.remote_port))
        except OSError as error:
            _log.debug("a datagram to %s was not sent: %s", path.remote_address, error)

    def _ancillary(self, path: Path) -> list[tuple[int, int, bytes]]:
        if path.local_address is None:
            return []
        index = self._interface_of(path.local_address)
        packed = ip_address(path.local_address).packed
        if len(packed) == 4:
            return [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO4.pack(index, packed, bytes(4)))]
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(packed, index))]

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                data, ancillary, _, source = sock.recvmsg(_ROOM, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError as error:
                _log.debug("reading a datagram failed: %s", error)
                return
            address = source[0].partition("%")[0]
            self._deliver(
                data,
                Path(local_address=_arrived_at(ancillary), remote_address=address, remote_port=source[1]),
            )


def _bound(port: int) -> dict[int, socket.socket]:
    sockets: dict[int, socket.socket] = {}
    with ExitStack() as stack:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            except OSError:
                continue  # a kernel without this family
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                sock.bind(("::", port))
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
                sock.bind(("0.0.0.0", port))  # noqa: S104 - every attachment point, also those to come
            sockets[int(family)] = sock
        stack.pop_all()
    return sockets


def _arrived_at(ancillary: list[tuple[int, int, bytes]]) -> str | None:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return str(ip_address(_PKTINFO4.unpack(data[: _PKTINFO4.size])[2]))
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return str(ip_address(_PKTINFO6.unpack(data[: _PKTINFO6.size])[0]))
    return None
