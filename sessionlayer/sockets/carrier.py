"""One stream and the socket pair that stands for it: made together, and ended together."""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Callable

from sessionlayer.aio import StreamSession
from sessionlayer.aio.transport import StreamTransport
from sessionlayer.sockets.background import background
from sessionlayer.sockets.pump import Pump
from sessionlayer.sockets.stream_socket import Home, Shared, StreamSocket


class Carrier:
    """Knows what became of a stream. It lives as long as the stream does.

    Args:
        session: of the stream.
        purpose: of the stream.
        home: where it comes from.
        over: called when the stream is over, or given up with its session.
    """

    def __init__(
        self, session: StreamSession, purpose: bytes, home: Home, over: Callable[[Carrier], None]
    ) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._tell = over
        self._shared = Shared(session.sockname, session.peername, session, home, purpose)
        self._over = asyncio.Event()
        self.socket = StreamSocket.adopt(theirs, self._shared)
        self._weak_socket = weakref.ref(self.socket)
        self.pump = Pump(ours, self._shared.sockets, self._lost)
        background.finish_at_exit(self)

    def release(self) -> StreamSocket:
        """Return the program's socket, which is the program's alone from now on."""
        found = self.socket
        del self.socket
        return found

    def go_on(self, transport: StreamTransport) -> StreamSocket:
        """Carry a stream that was given up, and return its new socket."""
        if transport.connection.end is not None:
            self.socket.shutdown(socket.SHUT_WR)  # as the program has done before
        transport.resume_reading()  # what is handed over may make it pause again
        transport.begin(self.pump)
        return self.release()

    def discard(self) -> None:
        """Close both ends of a stream that did not come to be."""
        self.pump.discard()
        self.release().close()

    async def finish(self) -> None:
        """End the stream once the peer has all that was written."""
        found = self._weak_socket()
        if found is not None:
            found.close()
        await self._over.wait()

    def _lost(self, error: Exception | None) -> None:
        self._shared.failure = error
        self._over.set()
        self._tell(self)
