"""Addresses and ports of sockets, in one form for both families."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPoint:
    """An address in canonical text form, without an IPv4-mapping prefix, and a TCP port."""

    address: str
    port: int

    def __str__(self) -> str:
        """Return ``address:port``, with brackets around IPv6."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def local_end(sock: socket.socket) -> EndPoint:
    """Return the local address and port of the socket."""
    return _end_point(sock.getsockname())


def remote_end(sock: socket.socket) -> EndPoint:
    """Return the peer's address and port."""
    return _end_point(sock.getpeername())


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
