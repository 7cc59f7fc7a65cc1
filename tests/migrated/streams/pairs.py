"""Connected sockets, and how they end."""

from __future__ import annotations

import asyncio
import socket
import struct

READ = 1 << 20


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection over the loopback, for use with an event loop."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
    here.setblocking(False)
    there.setblocking(False)
    return here, there


def reset(sock: socket.socket) -> None:
    """Give a connection up such that the other end hears of it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def read_all(sock: socket.socket) -> bytes:
    """Read to the end.

    Raises:
        ConnectionResetError: the other end was given up.
    """
    pieces = []
    while piece := await asyncio.get_running_loop().sock_recv(sock, READ):
        pieces.append(piece)
    return b"".join(pieces)


async def read_exactly(sock: socket.socket, length: int) -> bytes:
    """Read so many bytes."""
    data = b""
    while len(data) < length:
        piece = await asyncio.get_running_loop().sock_recv(sock, length - len(data))
        assert piece, "it ended"
        data += piece
    return data
