"""Opening stream sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from sessionlayer.aio import HostKey, Judge, StreamOptions, StreamSession, connect
from sessionlayer.aio.transport import StreamTransport
from sessionlayer.sockets.background import background
from sessionlayer.sockets.carrier import Carrier
from sessionlayer.sockets.stream_socket import StreamSocket

_DEFAULT: Final = object()


def create_connection(
    address: tuple[str, int],
    timeout: float | object | None = _DEFAULT,
    *,
    identity: HostKey,
    judge: Judge,
    options: StreamOptions | None = None,
    purpose: bytes = b"",
    sealed: bool = False,
) -> StreamSocket:
    """Open a virtual stream in a session of its own, and return its socket; like `socket.create_connection`.

    Args:
        address: the server's name or address, and its port.
        timeout: in seconds, for the connection and of the socket; by default `socket.getdefaulttimeout`.
        identity: our key, by which the server knows us.
        judge: returns why the server's key (32 bytes) is not trusted, or an empty string.
        options: bounds and times.
        purpose: at most 255 bytes that tell the server what the connection is for.
        sealed: whether bytes are encrypted between the two ends.

    Raises:
        TimeoutError: it has taken longer than ``timeout``.
        UntrustedPeerError: ``judge`` does not trust the server.
        StreamRefusedError: the server refuses the connection.
        OSError: the server can't be reached.
    """
    timeout_s = socket.getdefaulttimeout() if timeout is _DEFAULT else timeout
    assert timeout_s is None or isinstance(timeout_s, int | float)
    work = _open(address, identity, judge, options or StreamOptions(), purpose, sealed=sealed)
    found = background.run(work, timeout_s)
    found.settimeout(timeout_s)
    return found


async def _open(
    address: tuple[str, int],
    identity: HostKey,
    judge: Judge,
    options: StreamOptions,
    purpose: bytes,
    *,
    sealed: bool,
) -> StreamSocket:
    session = await connect(*address, identity=identity, judge=judge, options=options)
    try:
        return await _socket(session, purpose, sealed=sealed)
    except BaseException:
        session.abort()
        raise


async def _socket(session: StreamSession, purpose: bytes, *, sealed: bool) -> StreamSocket:
    carrier = _carrier(session, purpose)
    try:
        await session.create_connection(lambda: carrier.pump, purpose, sealed=sealed)
    except BaseException:
        carrier.discard()
        raise
    return carrier.release()


class _Alone:
    """The `Home` of a socket that has its session to itself."""

    server = None

    def carry(self, transport: StreamTransport) -> StreamSocket:
        """Return a new socket of a stream that goes on."""
        session = transport.session
        assert isinstance(session, StreamSession)
        return _carrier(session, transport.connection.purpose).go_on(transport)

    def tidy(self) -> None:
        """Do nothing: its session is over with it."""


def _carrier(session: StreamSession, purpose: bytes) -> Carrier:
    return Carrier(session, purpose, _Alone(), lambda _: _end(session))


def _end(session: StreamSession) -> None:
    """Close a session whose only stream is over; what there was to acknowledge has been."""
    asyncio.get_running_loop().call_soon(session.abort)
