"""A session at one of its ends: its streams, its control transport and its clock."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from sessionlayer.aio.control import ControlLink
from sessionlayer.aio.pipe import DataPipe
from sessionlayer.aio.sockets import Address, name_of
from sessionlayer.aio.transport import StreamReader, StreamTransport
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.keys import HostKey
from sessionlayer.streams.connection import Connection
from sessionlayer.streams.errors import StreamError
from sessionlayer.streams.events import (
    Acknowledged,
    Admitted,
    Closed,
    Effect,
    Ended,
    Lost,
    Resumed,
    Silent,
    StreamEvent,
    Suspended,
)
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.session import Session, closing_error
from sessionlayer.streams.state import SessionState
from sessionlayer.streams.transitions import SessionPhase

if TYPE_CHECKING:
    from sessionlayer.aio.dialer import Dialer

READER_LIMIT = 256 * 1024
"""Half of the bytes that a stream reader holds before reading pauses."""

Judge = Callable[[bytes], str]
"""Given the peer's 32-byte public key, return why it is not trusted, or an empty string. It must not raise."""

_log = logging.getLogger("migrate.streams")


class StreamSession:
    """One association between a client and a server, and the connections in it.

    It is made by ``connect`` or by a server, never directly.

    Attributes:
        core: the state machine.
        options: bounds and times.
        peername: the peer's address and port as they were seen last, ``sockname`` our own.
        dialer: what makes new transports, at the client's end.
    """

    def __init__(self, state: SessionState, options: StreamOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self.core = Session(state, options, os.urandom, self._loop.time())
        self.options = options
        self.peer_key = state.peer_key
        self.peername: Address = (state.host, state.port)
        self.sockname: Address = ("", 0)
        self.dialer: Dialer | None = None
        self._link: ControlLink | None = None
        self._streams: dict[int, StreamTransport] = {}
        self._restored: list[StreamTransport] = []
        self._listeners: list[Callable[[StreamEvent], None]] = []
        self._admissions: dict[int, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._closing_event: Closed | None = None
        self._emptied: asyncio.Event = asyncio.Event()

    # -- what a program calls ----------------------------------------------------------------------------

    @property
    def id(self) -> bytes:
        """Return the session's 16-byte name; it is no secret."""
        return self.core.id

    @property
    def peer(self) -> str:
        """Return the peer's address for people."""
        host, port = self.peername
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def state(self) -> str:
        """Return ``connected``, ``suspended`` or ``closed``."""
        match self.core.phase:
            case SessionPhase.CONNECTED | SessionPhase.INTERRUPTED:
                return "connected"
            case SessionPhase.SUSPENDED:
                return "suspended"
            case SessionPhase.CLOSED:
                return "closed"

    @property
    def transports(self) -> tuple[StreamTransport, ...]:
        """Return the transports of all connections that are not over."""
        return tuple(self._streams.values())

    def on_event(self, callback: Callable[[StreamEvent], None]) -> None:
        """Call ``callback`` when the session is suspended, resumed or closed."""
        self._listeners.append(callback)

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
        return self._with_streams(transport)

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
        """Try to reach the peer at once: the network may be back."""
        if self.dialer:
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
        if self.core.phase is SessionPhase.CLOSED:
            raise StreamError("the session is over: there is nothing to keep")
        for transport in self.transports:
            if transport.pipe:
                transport.pipe.retire()
        unread = {number: transport.unread() for number, transport in self._streams.items()}
        host, port = self.dialer.address if self.dialer else self.peername
        state = self.core.state(unread, host, port, self._loop.time())
        self.core.lose_control("it was frozen", self._loop.time())
        self._end("frozen", "it was frozen")
        return state

    @classmethod
    def restore(
        cls, state: SessionState, *, identity: HostKey, judge: Judge, options: StreamOptions | None = None
    ) -> StreamSession:
        """Go on with a client's session that was frozen; it connects in the background.

        ``take_streams`` has its connections. A server's session is restored with ``StreamServer.restore``.

        Args:
            state: what ``freeze`` returned; to be used once.
            identity: our key, in case the server has to be asked whether it still knows the session.
            judge: as for ``connect``.
            options: bounds and times.

        Raises:
            ValueError: ``state`` is a server's.
        """
        from sessionlayer.aio.dialer import Dialer

        if not state.client:
            raise ValueError("this is a server's session: use `StreamServer.restore`")
        session = cls(state, options or StreamOptions())
        session.readmit(state)
        session.dialer = Dialer(session, (state.host, state.port), identity, judge)
        session.dialer.start()
        for transport in session.transports:
            session.dialer.keep(transport)
        session.pump()
        return session

    def take_streams(self) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Return the streams of the connections that were restored, in the order in which they were opened.

        Bytes that had not been read when the session was frozen come first. Only once for each.
        """
        restored, self._restored = self._restored, []
        return [self._with_streams(transport) for transport in restored]

    # -- what the dialer and the server call -------------------------------------------------------------

    def readmit(self, state: SessionState) -> None:
        """Make transports for the connections of a session that was kept."""
        for kept in state.connections:
            if kept.reset is None:
                transport = self.add_stream(self.core.connections[kept.number])
                transport.keep_unread(kept.unread)
                self._restored.append(transport)

    def add_stream(self, connection: Connection) -> StreamTransport:
        """Return the transport of a connection that begins here."""
        transport = StreamTransport(self, connection)
        transport.pause_reading()
        self._streams[connection.number] = transport
        self._emptied.clear()
        return transport

    def stream(self, number: int) -> StreamTransport | None:
        """Return the transport of connection ``number``, unless that is over."""
        return self._streams.get(number)

    def streams_for(self, transport: StreamTransport) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection's streams."""
        return self._with_streams(transport)

    def attach_control(self, sock: socket.socket) -> None:
        """Go on over a control transport that has proved itself."""
        if self._link:
            self._link.close()
        self.peername, self.sockname = name_of(sock, peer=True), name_of(sock, peer=False)
        self._link = ControlLink(sock, self)
        self.pump()

    def attach_data(self, transport: StreamTransport, sock: socket.socket) -> DataPipe:
        """Send over a data transport from now on; ``DataPipe.listen`` starts the other direction."""
        transport.drop_pipe()
        transport.pipe = DataPipe(sock, transport.connection, transport)
        return transport.pipe

    def received(self, connection: Connection) -> None:
        """Note that bytes of a connection were handed out."""
        if self.core.received(connection, self._loop.time()):
            self.pump()
        else:
            self._set_timer()

    def pipe_died(self, transport: StreamTransport, reason: str) -> None:
        """Note that a data transport is dead."""
        _log.debug("connection %d with %s: %s", transport.connection.number, self.peer, reason)
        if self.dialer:
            self.dialer.pipe_died(transport)

    def control_arrived(self, data: bytes) -> None:
        """Take bytes of the control transport."""
        try:
            self.core.receive_control(data, self._loop.time())
        except RemoteProtocolError as error:
            assert self._link is not None
            self._link.die(str(error))
        self.pump()

    def control_output(self) -> bytes:
        """Return what is to be said on the control transport."""
        return self.core.control_output()

    def control_died(self, link: ControlLink, reason: str) -> None:
        """Note that the control transport is dead."""
        if link is self._link:
            self._link = None
            self.core.lose_control(reason, self._loop.time())
            if self.dialer:
                self.dialer.control_died()
            self.pump()

    def over(self, code: str, reason: str) -> None:
        """End the session because the server says so, or for a reason of the same weight."""
        self._end(code, reason)

    def pump(self) -> None:
        """Carry out what follows from what happened, and say what there is to say."""
        while effects := self.core.take_effects():
            for effect in effects:
                self._carry_out(effect)
        if self._link:
            self._link.flush()
        self._set_timer()

    # -- inside ------------------------------------------------------------------------------------------

    async def _open(self, purpose: bytes, *, sealed: bool) -> StreamTransport:
        if self._closing_event:
            raise closing_error(self._closing_event)
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

    def _with_streams(self, transport: StreamTransport) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = StreamReader(limit=READER_LIMIT, loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport.reader = reader
        transport.begin(protocol)
        transport.resume_reading()
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Admitted():
                self._admitted(effect.number, None)
            case Acknowledged():
                if transport := self._streams.get(effect.number):
                    transport.acknowledged()
            case Ended():
                if transport := self._streams.get(effect.number):
                    transport.ended()
            case Lost():
                self._lost(effect)
            case Silent():
                self._drop_transports()
            case Suspended() | Resumed():
                self._tell(effect)
            case Closed():
                self._over(effect)
            case _:
                assert_never(effect)

    def _admitted(self, number: int, error: ConnectionError | None) -> None:
        future = self._admissions.get(number)
        if future is None or future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(None)

    def _lost(self, effect: Lost) -> None:
        self._admitted(effect.number, effect.error or StreamError("the connection is over"))
        transport = self._streams.pop(effect.number, None)
        if transport:
            transport.lost(effect.error)
            if self.dialer:
                self.dialer.forget(transport)
        if not self._streams:
            self._emptied.set()

    def _drop_transports(self) -> None:
        link, self._link = self._link, None
        if link:
            self.core.lose_control("nothing was heard", self._loop.time())
            link.close()
        for transport in self.transports:
            transport.drop_pipe()
        if self.dialer:
            self.dialer.all_died()

    def _end(self, code: str, reason: str) -> None:
        farewell = self.core.end(code, reason)
        if self._link:
            self._link.close(farewell)
            self._link = None
        self.pump()

    def _over(self, closed: Closed) -> None:
        self._closing_event = closed
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._link:
            self._link.close()
            self._link = None
        if self.dialer:
            self.dialer.stop()
        if not self._closed.done():
            self._closed.set_result(None)
        self._tell(closed)

    def _tell(self, event: StreamEvent) -> None:
        for callback in tuple(self._listeners):
            callback(event)

    def _set_timer(self) -> None:
        due = self.core.next_deadline()
        timer = self._timer
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timer = self._loop.call_at(due, self._timer_fired) if due != float("inf") else None

    def _timer_fired(self) -> None:
        self._timer = None
        self.core.handle_timer(self._loop.time())
        self.pump()
