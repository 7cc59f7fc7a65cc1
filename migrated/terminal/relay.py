"""The far side of a transport that ssh carries: standard input and output, joined to the holder's port here.

What passes is the stream's own: sealed from the client to the holder, so that nothing is to be decided here.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import Final

WISH: Final = b"relay\n"
"""What a client says after `Ready` to have the login that brought it carry its first transport."""

CONNECTED: Final = b"migrate-terminal connected\n"
"""Said when the holder has taken the connection; bytes of the transport follow."""

CONNECT_S: Final = 5.0
LINGER_S: Final = 1.0
"""Seconds that what the client still says may take after the holder has closed."""

_PIECE: Final = 64 * 1024


class RelayError(Exception):
    """Say why there is no way to the holder."""


def relay(port: int, source: int = 0, sink: int = 1) -> None:
    """Join two descriptors to the holder until it closes, or nobody is there to hear it.

    Args:
        port: the holder's TCP port on this host.
        source: what the client says.
        sink: what it hears.

    Raises:
        RelayError: nothing listens there.
    """
    try:
        sock = socket.create_connection(("localhost", port), CONNECT_S)
    except OSError as error:
        raise RelayError(f"the process that held the terminal is gone: port {port} is closed") from error
    with sock, suppress(OSError):  # whoever is gone at either end, the other will notice
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _write(sink, CONNECTED)
        forth = threading.Thread(target=_forth, args=(source, sock), daemon=True)
        forth.start()
        while piece := sock.recv(_PIECE):
            _write(sink, piece)
        forth.join(LINGER_S)


def _forth(source: int, sock: socket.socket) -> None:
    with suppress(OSError):
        while piece := os.read(source, _PIECE):
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)


def _write(sink: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(sink, rest) :]
