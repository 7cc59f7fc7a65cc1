"""A session as programs see it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sessionlayer.aio.shell import SessionShell
from sessionlayer.aio.transport import StreamTransport
from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.keys import HostKey
from sessionlayer.streams.client import ClientSession
from sessionlayer.streams.errors import StreamError
from sessionlayer.streams.events import StreamEvent
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.session import closing_error
from sessionlayer.streams.state import SessionState
from sessionlayer.streams.transitions import SessionPhase

if TYPE_CHECKING:
    from sessionlayer.aio.dialer import Dial

Judge = Callable[[bytes], str]
"""Given the peer's public key (32 bytes), return why it is not trusted, or "". It must not raise."""

_log = logging.getLogger("migrate.streams")


class StreamSession(SessionShell):
    """One association between a client and a server, and the connections in it.

    It is made by ``connect`` or by a server, never directly.
    """

    @property
    def id(self) -> bytes:
        """Return the session's 16-byte name; it is no secret."""
        return self.core.id

    def on_event(self, callback: Callable[[StreamEvent], None]) -> None:
        """Call ``callback`` when the session is suspended, resumed or closed."""
        self._listeners.append(callback)

    def on_import(self, callback: Callable[[dict[str, bytes]], None]) -> None:
        """Call ``callback`` with all that the peer exports, soon after every resumption."""
        self._on_import = callback

    def export(self, values: Mapping[str, bytes]) -> None:
        """Tell the peer's program these values at every resumption; see ``on_import``.

        Args:
            values: by their names, 16 KiB together; they take the place of those before.

        Raises:
            ContinuationError: they are too large, or a name can't be one.
        """
        self.core.export(values)

    async def open_connection(
        self, purpose: bytes = b"", *, sealed: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection and return its two streams; waits while the session is suspended.

        Args:
            purpose: at most 255 bytes that tell the server what the connection is for.
            sealed: whether bytes are encrypted between the two ends.

        Raises:
            StreamRefusedError: the server refuses it, or the session has too many.
            StreamExpiredError: the session was suspended for too long.
            StreamError: the session is over.
            LocalProtocolError: we are the server, or ``purpose`` is too long.
        """
        transport = await self._open(purpose, sealed=sealed)
        return self.streams_for(transport)

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        purpose: bytes = b"",
        *,
        sealed: bool = False,
    ) -> tuple[StreamTransport, asyncio.BaseProtocol]:
        """Open a connection and return its transport and a new protocol; see ``open_connection``.

        Raises:
            StreamRefusedError: the server refuses it, or the session has too many.
            StreamExpiredError: the session was suspended for too long.
            StreamError: the session is over.
            LocalProtocolError: we are the server, or ``purpose`` is too long.
        """
        transport = await self._open(purpose, sealed=sealed)
        protocol = protocol_factory()
        transport.begin(protocol)
        transport.resume_reading()
        return transport, protocol

    def retry_now(self) -> None:
        """Try to reach the peer at once: the network may be back, or another one.

        Where this host would now connect from another address, the transports are given up for new ones:
        their silence would tell the same, but later.
        """
        if self.dialer:
            self.leave_old_address()
            self.dialer.retry_now()

    async def close(self) -> None:
        """Close all connections and the session; waits up to ``options.close_s`` for acknowledgements."""
        for transport in self.transports:
            transport.close()
        if self._streams:
            try:
                async with asyncio.timeout(self.options.close_s):
                    await self._emptied.wait()
            except TimeoutError:
                _log.info("closing %s: not everything was acknowledged in time", self.peer)
        self._end("closed", "it was closed")
        await self.wait_closed()

    def abort(self) -> None:
        """End the session at once, whatever the peer has."""
        self._end("aborted", "it was aborted")

    async def wait_closed(self) -> None:
        """Wait until the session is over, for whatever reason."""
        await asyncio.shield(self._closed)
        if self.dialer:
            await self.dialer.wait_closed()

    def freeze(self) -> SessionState:
        """Return everything that is needed to go on, give up all transports, and be dead afterwards.

        What stream readers hold unread is part of it; what a protocol has been given is its own to keep.

        Raises:
            StreamError: the session is over.
        """
        state = self.snapshot()
        self._end("frozen", "it was frozen")
        return state

    def snapshot(self) -> SessionState:
        """Return everything that is needed to go on, and give up all transports; the peer makes new ones.

        The session itself lives on. Only one of the two may go on from here.

        Raises:
            StreamError: the session is over.
        """
        if self.core.phase is SessionPhase.CLOSED:
            raise StreamError("the session is over: there is nothing to keep")
        for transport in self.transports:
            if transport.pipe:
                transport.pipe.retire()
                transport.pipe = None
        unread = {number: transport.unread() for number, transport in self._streams.items()}
        host, port = self.dialer.address if self.dialer else self.peername
        state = self.core.state(unread, host, port, self._loop.time())
        self.core.lose_control("its state was taken", self._loop.time())
        if self._link:
            self._link.close()
            self._link = None
        return state

    @classmethod
    def restore(
        cls,
        state: SessionState,
        *,
        identity: HostKey,
        judge: Judge,
        options: StreamOptions | None = None,
        dial: Dial | None = None,
    ) -> StreamSession:
        """Go on with a client's session that was frozen; it connects in the background.

        ``take_streams`` has its connections. A server's session is restored with ``StreamServer.restore``.

        Args:
            state: what ``freeze`` returned; to be used once.
            identity: our key, in case the server has to be asked whether it still knows the session.
            judge: as for ``connect``.
            options: bounds and times.
            dial: as for ``connect``.

        Raises:
            ValueError: ``state`` is a server's.
        """
        from sessionlayer.aio.dialer import Dialer

        if not state.client:
            raise ValueError("this is a server's session: use `StreamServer.restore`")
        session = cls(state, options or StreamOptions())
        session.readmit(state)
        session.dialer = Dialer(session, (state.host, state.port), identity, judge, dial)
        session.dialer.start()
        for transport in session.transports:
            session.dialer.keep(transport)
        session.pump()
        return session

    def take_streams(self) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Return the streams of the connections that were restored, in the order in which they were opened.

        Bytes that had not been read when the session was frozen come first. Only once for each.
        """
        return [self.streams_for(transport) for transport in self.take_restored()]

    def take_restored(self) -> list[StreamTransport]:
        """Return the transports of the connections that were restored; ``take_streams`` for protocols."""
        restored, self._restored = self._restored, []
        return restored

    async def _open(self, purpose: bytes, *, sealed: bool) -> StreamTransport:
        if not isinstance(self.core, ClientSession):
            raise LocalProtocolError("only the client of a session opens connections")
        if self._closed.done():
            raise closing_error(self._closed.result())
        connection = self.core.open(purpose, sealed=sealed)
        transport = self.add_stream(connection)
        admitted = self._admissions[connection.number] = self._loop.create_future()
        assert self.dialer is not None
        self.dialer.keep(transport)
        try:
            await admitted
        except asyncio.CancelledError:
            transport.abort()
            raise
        finally:
            self._admissions.pop(connection.number, None)
        return transport
