"""What is under a session that programs see: its transports, its streams and its clock."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from sessionlayer.aio.control import ControlLink
from sessionlayer.aio.pipe import DataPipe
from sessionlayer.aio.sockets import Address, name_of, source_towards
from sessionlayer.aio.transport import StreamReader, StreamTransport
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams.client import ClientSession
from sessionlayer.streams.connection import Connection
from sessionlayer.streams.errors import StreamError
from sessionlayer.streams.events import (
    Acknowledged,
    Admitted,
    Closed,
    Effect,
    Ended,
    Imported,
    Lost,
    Resumed,
    Silent,
    StreamEvent,
    Suspended,
)
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.server import ServerSession
from sessionlayer.streams.state import SessionState
from sessionlayer.streams.transitions import SessionPhase

if TYPE_CHECKING:
    from sessionlayer.aio.dialer import Dialer

READER_LIMIT = 256 * 1024
"""Half of the bytes that a stream reader holds before reading pauses."""

_log = logging.getLogger("migrate.streams")


class SessionShell:
    """Interpret a session's state machine: sockets and time go in, effects come out.

    Attributes:
        core: the state machine.
        options: bounds and times.
        peer_key: the peer's public key, 32 bytes.
        peername: the peer's address and port as they were seen last, ``sockname`` our own.
        dialer: what makes new transports, at the client's end.
    """

    def __init__(self, state: SessionState, options: StreamOptions) -> None:
        self._loop = asyncio.get_running_loop()
        end = ClientSession if state.client else ServerSession
        self.core: ClientSession | ServerSession = end(state, options, os.urandom, self._loop.time())
        self.options = options
        self.peer_key = state.peer_key
        self.peername: Address = (state.host, state.port)
        self.sockname: Address = ("", 0)
        self.dialer: Dialer | None = None
        self._link: ControlLink | None = None
        self._streams: dict[int, StreamTransport] = {}
        self._restored: list[StreamTransport] = []
        self._on_import: Callable[[dict[str, bytes]], None] | None = None
        self._listeners: list[Callable[[StreamEvent], None]] = []
        self._admissions: dict[int, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[Closed] = self._loop.create_future()
        self._emptied: asyncio.Event = asyncio.Event()

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

    def readmit(self, state: SessionState) -> None:
        """Make transports for the connections of a session that was kept."""
        for kept in state.connections:
            if kept.reset is None:
                transport = self.add_stream(self.core.connections[kept.number])
                if kept.closing:
                    transport.resume_reading()
                else:
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

    def attach_control(self, sock: socket.socket) -> None:
        """Go on over a control transport that has proved itself."""
        if self._link:
            self._link.close()
        if sock.family != socket.AF_UNIX:  # what was dialled otherwise has no name that says anything
            self.peername, self.sockname = name_of(sock, peer=True), name_of(sock, peer=False)
        self._link = ControlLink(sock, self)
        self._renew_unheard()
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

    def leave_old_address(self) -> None:
        """Give all transports up if the way to the peer begins at another address of this host now."""
        if not (self.peername[0] and self.sockname[0]) or self.core.phase is SessionPhase.CLOSED:
            return  # there was no transport yet that had an address
        source = source_towards(self.peername)
        if source and source != self.sockname[0]:
            self.sockname = (source, 0)  # once for each change, however often it is hinted at
            self._drop_transports(f"this host's address is {source} now")

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

    def streams_for(self, transport: StreamTransport) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Give a connection to a program that wants streams."""
        reader = StreamReader(limit=READER_LIMIT, loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport.reader = reader
        transport.begin(protocol)
        transport.resume_reading()
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    # -- inside ------------------------------------------------------------------------------------------

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
                self._drop_transports("nothing was heard")
            case Suspended() | Resumed():
                self._tell(effect)
            case Imported():
                if self._on_import is not None:
                    self._loop.call_soon(self._on_import, effect.values)
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

    def _drop_transports(self, reason: str) -> None:
        link, self._link = self._link, None
        if link:
            self.core.lose_control(reason, self._loop.time())
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
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._link:
            self._link.close()
            self._link = None
        if self.dialer:
            self.dialer.stop()
        if not self._closed.done():
            self._closed.set_result(closed)
        self._tell(closed)

    def _renew_unheard(self) -> None:
        """Replace the data transports that may have died with the control transport and can't show it.

        Those are not read: the peer has shut them down, or the program reads nothing. What was sent over
        one and not acknowledged would wait for ever if nothing more is written.
        """
        for transport in self.transports if self.dialer else ():
            if transport.pipe and transport.pipe.unheard:
                self.pipe_died(transport, "it may have died with the control transport")

    def _tell(self, event: StreamEvent) -> None:
        for callback in tuple(self._listeners):
            self._loop.call_soon(callback, event)  # what it raises is the loop's to report

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
