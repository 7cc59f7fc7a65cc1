"""The few things that asyncio's streams don't do with a TCP socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

RTT_OFFSET, RATE_OFFSET, INFO_BYTES = 68, 160, 168
"""Where ``tcp_info`` has the round trip (microseconds) and the delivery rate (bytes a second).

Source: include/uapi/linux/tcp.h, fixed since Linux 4.9.
"""

Address = tuple[str, int]


async def connect_tcp(host: str, port: int) -> socket.socket:
    """Return a connected, non-blocking socket; every address of ``host`` is tried in turn.

    Raises:
        OSError: no address of ``host`` can be reached, or it has none.
    """
    loop = asyncio.get_running_loop()
    found = numeric(host, port) or await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError(f"`{host}` has no address")
    for family, kind, protocol, _, address in found:
        sock = prepared(socket.socket(family, kind, protocol))
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def numeric(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return the addresses of ``host`` as ``getaddrinfo`` does if it is an address, which needs no thread."""
    with suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return []


def prepared(sock: socket.socket) -> socket.socket:
    """Return ``sock`` without blocking and without Nagle's delay: we join small writes ourselves."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def read_exactly(sock: socket.socket, count: int) -> bytes:
    """Return the next ``count`` bytes and take no more from the socket.

    Raises:
        ConnectionError: the peer closed the connection before.
    """
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        piece = await loop.sock_recv(sock, count - len(data))
        if not piece:
            raise ConnectionResetError("the peer closed the transport")
        data += piece
    return data


def bandwidth_delay(sock: socket.socket) -> int:
    """Return the path's bandwidth-delay product in bytes as the kernel sees it, 0 if it doesn't know."""
    info = b""
    with suppress(OSError):
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
    if len(info) < INFO_BYTES:
        return 0
    (rtt_us,) = struct.unpack_from("=I", info, RTT_OFFSET)
    (rate,) = struct.unpack_from("=Q", info, RATE_OFFSET)
    return int(rtt_us * rate // 1_000_000)


def source_towards(address: Address) -> str:
    """Return the address from which this host would connect to ``address`` now, "" if there is no way there.

    Nothing is sent: connecting a datagram socket only asks the routing table.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address)
        except OSError:
            return ""
        return str(sock.getsockname()[0])


def name_of(sock: socket.socket, *, peer: bool) -> Address:
    """Return a socket's own or its peer's address and port."""
    try:
        found = sock.getpeername() if peer else sock.getsockname()
    except OSError:  # it was reset meanwhile
        return ("", 0)
    return (str(found[0]), int(found[1]))


async def listen(host: str | None, port: int, backlog: int) -> list[socket.socket]:
    """Return TCP sockets that listen, one for each address of ``host``, and don't block.

    Raises:
        OSError: an address can't be listened on.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(_listening(family, address, backlog))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _listening(family: int, address: Any, backlog: int) -> socket.socket:  # noqa: ANN401 - of any family
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
