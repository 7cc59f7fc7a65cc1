"""A virtual connection as an asyncio transport."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sessionlayer.aio.pipe import DataPipe
from sessionlayer.aio.sockets import bandwidth_delay
from sessionlayer.delivery import hand_out
from sessionlayer.streams.connection import Connection
from sessionlayer.streams.limits import RING_MIN, SMALL_WRITE_MAX

if TYPE_CHECKING:
    from sessionlayer.aio.shell import SessionShell

Buffer = bytes | bytearray | memoryview


class StreamTransport(asyncio.Transport):
    """Write to and read from a connection, whatever transports carry it at present.

    ``get_extra_info`` knows ``purpose``, ``session``, ``connection``, ``peername`` and ``sockname``. Writing
    pauses when more than the ring's bound is unacknowledged, or when more is unsent than
    ``set_write_buffer_limits`` says.
    """

    def __init__(self, session: SessionShell, connection: Connection) -> None:
        super().__init__()
        self.session = session
        self.connection = connection
        self.pipe: DataPipe | None = None
        self.reader: StreamReader | None = None
        self._protocol: asyncio.BaseProtocol | None = None
        self._loop = asyncio.get_running_loop()
        self._ring = connection.ring
        self._ring_limit = RING_MIN
        self._high, self._low = session.options.ring_max, session.options.ring_max // 4
        self._paused_writing = False
        self._paused_reading = False
        self._flush_is_due = False
        self._over = False
        self._error: ConnectionError | None = None
        self._unread = b""

    # -- what a program calls ----------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        """Return what is known of the connection under ``name``."""
        match name:
            case "purpose":
                return self.connection.purpose
            case "session":
                return self.session
            case "connection":
                return self.connection.number
            case "peername":
                return self.session.peername
            case "sockname":
                return self.session.sockname
            case _:
                return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what arrives to ``protocol`` from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is handed what arrives."""
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        """Return whether the connection is closing or over."""
        return self._over or self.connection.closing

    def write(self, data: Buffer) -> None:
        """Send ``data``: small pieces together at the end of the loop's turn, large ones as they are.

        Raises:
            RuntimeError: the stream was ended by ``write_eof``.
        """
        if self._over or self.connection.closing:
            return
        if self.connection.end is not None:
            raise RuntimeError("cannot write after `write_eof`")
        if type(data) is not bytes:
            data = bytes(data)
        ring = self._ring
        ring.append(data)
        if len(data) > SMALL_WRITE_MAX:
            self.flush()
        elif not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self.flush)
        if ring.unacknowledged > self._ring_limit and not self._paused_writing:
            self._pause_writing()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """Send several pieces."""
        for data in list_of_data:
            self.write(data)

    def write_eof(self) -> None:
        """End our stream behind what was written; reading goes on."""
        if not self._over:
            self.session.core.finish(self.connection)
            self.flush()
            self.session.pump()

    def can_write_eof(self) -> bool:
        """Return true: the two directions end apart."""
        return True

    def close(self) -> None:
        """End the connection once the peer has all that was written; nothing more is handed out."""
        if not self.is_closing():
            self.session.core.close(self.connection)
            self.resume_reading()
            self.flush()
            self.session.pump()

    def abort(self) -> None:
        """End the connection at once, whatever the peer has."""
        if not self._over:
            self.session.core.abort(self.connection, "its program gave it up")
            self.session.pump()

    def pause_reading(self) -> None:
        """Hand out nothing for a while; the peer's writer waits in the end."""
        if not self.is_closing():
            self._paused_reading = True
            if self.pipe:
                self.pipe.pause_reading()

    def resume_reading(self) -> None:
        """Hand out what arrives again."""
        if not self._over:
            self._paused_reading = False
            if self.pipe:
                self.pipe.resume_reading()

    def is_reading(self) -> bool:
        """Return whether what arrives is handed out."""
        return not self._paused_reading and not self.is_closing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set how many bytes may be unsent; the bound of what is unacknowledged holds as well.

        Raises:
            ValueError: not ``high >= low >= 0``.
        """
        if high is None:
            high = self.session.options.ring_max if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low
        self._mind_the_limits()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high bound of what may be unsent."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are unsent."""
        return self._ring.unsent

    # -- what the session calls --------------------------------------------------------------------------

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the connection to its program, with what came for it before."""
        self._protocol = protocol
        protocol.connection_made(self)
        unread, self._unread = self._unread, b""
        if unread:
            self._hand_out(unread)
        if self.connection.inbound.ended:
            self._hand_out_end()
        if self._over:
            self._loop.call_soon(protocol.connection_lost, self._error)

    @property
    def begun(self) -> bool:
        """Return whether the connection was given to its program."""
        return self._protocol is not None

    def keep_unread(self, data: bytes) -> None:
        """Have ``data`` ready for the program, before all that arrives."""
        self._unread = data

    @property
    def paused_reading(self) -> bool:
        """Return whether the program wants nothing at present."""
        return self._paused_reading

    def flush(self) -> None:
        """Send what there is, if there is a transport."""
        self._flush_is_due = False
        if self.pipe is not None:
            self.pipe.flush()
        if self._ring.unsent > self._high and not self._paused_writing:
            self._pause_writing()
        elif self._paused_writing:
            self._mind_the_limits()

    def bytes_arrived(self, data: bytes) -> None:
        """Take a transport's next bytes.

        Raises:
            RemoteProtocolError: they can't be right.
        """
        connection = self.connection
        fresh = connection.receive(data)
        if fresh and not connection.closing and not self._over:
            self._hand_out(fresh)
        self.session.received(connection)

    def _hand_out(self, data: bytes) -> None:
        if self._protocol is not None:
            hand_out(self._protocol, data)

    def pipe_died(self, pipe: DataPipe, reason: str) -> None:
        """Learn that a transport is dead."""
        if self.pipe is pipe:
            self.pipe = None
        self.session.pipe_died(self, reason)

    def peer_fault(self, reason: str) -> None:
        """Give up a connection whose peer broke the protocol."""
        self.session.core.abort(self.connection, f"the peer broke the protocol: {reason}")
        self.session.pump()

    def acknowledged(self) -> None:
        """Go on writing if there is room again."""
        if self._paused_writing:
            self._mind_the_limits()

    def ended(self) -> None:
        """Hand out the end of the peer's stream."""
        if not self._over and not self.connection.closing:
            self._hand_out_end()

    def _hand_out_end(self) -> None:
        protocol = self._protocol
        if isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol) and not protocol.eof_received():
            self.close()

    def lost(self, error: ConnectionError | None) -> None:
        """End: hand out nothing more, close the transport, tell the program why."""
        if self._over:
            return
        self._over = True
        self._error = error
        self.drop_pipe()
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, error)

    def drop_pipe(self) -> None:
        """Close the transport, if there is one."""
        if self.pipe is not None:
            pipe, self.pipe = self.pipe, None
            pipe.close()

    def unread(self) -> bytes:
        """Take back what the program has not read, if we know."""
        return self._unread + (self.reader.take_unread() if self.reader else b"")

    # -- back-pressure -----------------------------------------------------------------------------------

    def _pause_writing(self) -> None:
        # The path may have become longer since the last time: ask the kernel before making anybody wait.
        if self.pipe is not None:
            room = 2 * bandwidth_delay(self.pipe.sock)
            self._ring_limit = max(RING_MIN, min(room, self.session.options.ring_max))
        if self._within_limits(self._ring_limit, self._high):
            return
        self._paused_writing = True
        if self._protocol is not None:
            self._protocol.pause_writing()

    def _mind_the_limits(self) -> None:
        if not self._paused_writing:
            if not self._within_limits(self._ring_limit, self._high):
                self._pause_writing()
        elif self._within_limits(self._ring_limit // 2, self._low):
            self._paused_writing = False
            if self._protocol is not None:
                self._protocol.resume_writing()

    def _within_limits(self, unacknowledged: int, unsent: int) -> bool:
        return self._ring.unacknowledged <= unacknowledged and self._ring.unsent <= unsent


class StreamReader(asyncio.StreamReader):
    """A stream reader whose unread bytes can be taken back."""

    _buffer: bytearray

    def take_unread(self) -> bytes:
        """Return what was fed and not read; the reader has nothing any more."""
        unread = bytes(self._buffer)
        self._buffer.clear()
        return unread
