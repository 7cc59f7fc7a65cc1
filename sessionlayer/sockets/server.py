"""Listening for stream sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from sessionlayer.aio import HostKey, Judge, StreamOptions, StreamServer, StreamSession, start_server
from sessionlayer.aio.transport import StreamTransport
from sessionlayer.sockets.background import background
from sessionlayer.sockets.carrier import Carrier
from sessionlayer.sockets.stream_socket import Address, StreamSocket

BACKLOG: Final = 128
"""Connections that wait for being accepted; a further one is refused, and its client told."""

Admit = Callable[[StreamSession, bytes], Awaitable[str]]


class StreamListener(socket.socket):
    """A listening socket whose connections are virtual streams. Made by `create_server`.

    It is readable when there is a connection to accept: one end of a socket pair, through which comes one
    byte for each connection.
    """

    _door: Door | None = None

    @classmethod
    def adopt(cls, end: socket.socket, door: Door) -> StreamListener:
        """Return the listener of one end of a pair, which is given up."""
        found = cls(fileno=end.detach())
        found._door = door
        return found

    def accept(self) -> tuple[StreamSocket, Address]:
        """Return the next connection and its peer's address; like `socket.socket.accept`.

        Raises:
            TimeoutError: none has come in time.
            BlockingIOError: there is none, and the socket does not block.
            OSError: the socket is closed.
        """
        if not self.recv(1):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        found = self._known().take()
        found.settimeout(socket.getdefaulttimeout())
        return found, found.getpeername()

    def getsockname(self) -> Address:
        """Return the address and port on which clients are heard."""
        return self._known().address

    def listen(self, backlog: int = BACKLOG, /) -> None:
        """Do nothing: it listens from the start."""

    def close(self) -> None:
        """Take no more connections. The port stays for those that were accepted, as they resume by it."""
        if self.fileno() >= 0:
            self._known().close()
        super().close()

    def _known(self) -> Door:
        if self._door is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._door


class Door:
    """What stands behind a listener, in the loop's thread.

    Args:
        end: the other end of the listener's pair.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._waiting: deque[StreamSocket] = deque()
        self._carried: set[Carrier] = set()
        self._closed = False
        self._server: StreamServer | None = None
        self.address: Address = ()

    async def open(
        self,
        host: str | None,
        port: int,
        identity: HostKey,
        judge: Judge,
        options: StreamOptions,
        admit: Admit | None,
    ) -> None:
        """Begin to listen.

        Raises:
            OSError: the address can't be listened on.
        """

        async def room(session: StreamSession, purpose: bytes) -> str:
            if self._closed or len(self._waiting) >= BACKLOG:
                return "the server does not accept connections at present"
            return await admit(session, purpose) if admit else ""

        self._server = await start_server(
            self._connected, host, port, identity=identity, judge=judge, options=options, admit=room
        )
        self.address = self._server.sockets[0].getsockname()

    def take(self) -> StreamSocket:
        """Return the connection that has waited longest."""
        return self._waiting.popleft()

    def close(self) -> None:
        """Listen no more; from any thread."""
        background.call(self._close)

    def _close(self) -> None:
        self._closed = True
        while self._waiting:
            self._waiting.popleft().close()
        self._end.close()
        self._close_port()

    def _close_port(self) -> None:
        server = self._server
        if self._closed and not self._carried and server is not None and not _has_more(server):
            server.close()

    @property
    def server(self) -> StreamServer | None:
        """Return the server that keeps the sessions."""
        return self._server

    def carry(self, transport: StreamTransport) -> StreamSocket:
        """Return a new socket of a stream that goes on."""
        session = transport.session
        assert isinstance(session, StreamSession)
        return self._carrier(session, transport.connection.purpose).go_on(transport)

    def _carrier(self, session: StreamSession, purpose: bytes) -> Carrier:
        carrier = Carrier(session, purpose, self, self._over)
        self._carried.add(carrier)
        return carrier

    def _over(self, carrier: Carrier) -> None:
        self._carried.discard(carrier)
        self.tidy()

    def tidy(self) -> None:
        """Give the port up when nobody needs it any more."""
        asyncio.get_running_loop().call_soon(self._close_port)  # the peer is to hear of the end first

    def _connected(
        self, session: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        carrier = self._carrier(session, writer.get_extra_info("purpose"))
        carrier.pump.take_over(reader, writer)
        self._waiting.append(carrier.release())
        self._end.send(b"c")


def _has_more(server: StreamServer) -> bool:
    """Return whether a server has connections that are given up, or that just come back."""
    return server.frozen > 0 or any(session.transports for session in server.sessions)


def create_server(
    address: tuple[str, int],
    *,
    identity: HostKey,
    judge: Judge,
    options: StreamOptions | None = None,
    admit: Admit | None = None,
) -> StreamListener:
    """Listen for virtual streams; like `socket.create_server`.

    Args:
        address: a name or an address, empty for all, and a TCP port, 0 for one that is free.
        identity: our key, by which clients know us.
        judge: returns why a client's key (32 bytes) is not trusted, or an empty string; in another thread.
        options: bounds and times.
        admit: returns why a connection of a purpose is refused, or an empty string; in another thread's loop.

    Raises:
        OSError: the address can't be listened on.
    """
    ours, theirs = socket.socketpair()
    door = Door(ours)
    host, port = address
    try:
        background.run(door.open(host or None, port, identity, judge, options or StreamOptions(), admit))
    except BaseException:
        ours.close()
        theirs.close()
        raise
    return StreamListener.adopt(theirs, door)
