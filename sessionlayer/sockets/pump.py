"""Carries bytes between a virtual stream and one end of a socket pair, whose other end is the program's.

| the program | the stream |
|---|---|
| writes | `write`; nothing more is taken while the stream is full |
| `shutdown(SHUT_WR)` | the end of our stream |
| `close()` | closed once the peer has all that was written |
| reads slowly | the peer's writer waits in the end |

| the stream | the program |
|---|---|
| ends | reads an end of file |
| is lost (expired, refused, reset) | reads an end of file, and is told the error by `StreamSocket` |
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable, Collection
from typing import Final

from sessionlayer.aio import StreamReader

CHUNK: Final = 256 * 1024
"""Bytes read at once from the program: what a socket pair holds by default."""


class Pump(asyncio.Protocol):
    """The protocol of a virtual stream's transport.

    Args:
        end: our end of the pair, not blocking.
        others: the program's sockets of the other end.
        lost: called once when the stream is over, with what went wrong, if anything.
    """

    def __init__(
        self,
        end: socket.socket,
        others: Collection[socket.socket],
        lost: Callable[[Exception | None], None],
    ) -> None:
        self._end = end
        self._others = others
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._writer: asyncio.StreamWriter | None = None
        self._waiting = bytearray()
        self._stream_ended = False
        self._deaf = False
        self._hang_up: select.epoll | None = None

    # --- the stream's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to take what the program writes."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop.add_reader(self._end, self._take)

    def take_over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the place of a reader and a writer, with what they have."""
        transport = writer.transport
        assert isinstance(reader, StreamReader)
        assert isinstance(transport, asyncio.Transport)
        self._writer = writer  # which would close the transport when nobody holds it
        transport.set_protocol(self)
        self.connection_made(transport)
        if unread := reader.take_unread():
            self.data_received(unread)
        if reader.at_eof():  # it has nothing unread any more
            self.eof_received()

    def data_received(self, data: bytes) -> None:
        """Give the program what has arrived, and let the peer wait while it does not take it."""
        if self._deaf:
            return
        if not self._waiting:
            data = data[self._give(data) :]
        if data and not self._deaf:
            if not self._waiting:
                self._transport.pause_reading()
                self._loop.add_writer(self._end, self._give_more)
            self._waiting += data

    def eof_received(self) -> bool:
        """Let the program read the end once it has read all; our direction stays open."""
        self._stream_ended = True
        self._end_if_given()
        return True

    def pause_writing(self) -> None:
        """Let the program wait."""
        self._loop.remove_reader(self._end)

    def resume_writing(self) -> None:
        """Take more from the program."""
        self._loop.add_reader(self._end, self._take)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the program read what is there, and then the end."""
        self._loop.remove_reader(self._end)
        self._stop_listening_for_hang_up()
        self._lost(exc)
        self._stream_ended = True
        self._transport = _Nothing()
        if not self._waiting:
            self._close()

    def discard(self) -> None:
        """Close our end; no stream has come to be."""
        self._end.close()

    # --- a session that is given up ---

    def is_held_elsewhere(self) -> bool:
        """Return whether the program's end is open, but not as a socket that we know."""
        return self._known_end() is None and not _hung_up(self._end)

    def take_back(self, error: Exception) -> bytes:
        """Stop: pass on all that the program has written, and return what it has not read.

        From now on its socket fails as that of a lost stream, with ``error`` as the reason.
        """
        self._stop()
        self._lost(error)
        closed, ended = _hung_up(self._end), _ended(self._end)
        self._drain()
        self._end.shutdown(socket.SHUT_RDWR)  # nothing can be written or waited for any more
        self._drain()
        if closed:
            self._transport.close()
        elif ended:
            self._transport.write_eof()
        known = self._known_end()
        unread = b"" if known is None else _read_all(known)
        unread += bytes(self._waiting)
        self._transport.set_protocol(asyncio.Protocol())
        self._end.close()
        return unread

    def _known_end(self) -> socket.socket | None:
        return next((end for end in tuple(self._others) if end.fileno() >= 0), None)

    def _drain(self) -> None:
        while data := self._read_end():
            self._transport.write(data)

    def _read_end(self) -> bytes:
        try:
            return self._end.recv(CHUNK)
        except (BlockingIOError, InterruptedError, ConnectionResetError):
            return b""

    # --- the program's side ---

    def _take(self) -> None:
        try:
            data = self._end.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionResetError:
            data = b""  # it has closed without reading all
        if data:
            self._transport.write(data)
            return
        self._loop.remove_reader(self._end)
        if _hung_up(self._end):
            self._program_closed()
            return
        self._transport.write_eof()
        self._listen_for_hang_up()

    def _give(self, data: bytes | bytearray) -> int:
        try:
            return self._end.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except (BrokenPipeError, ConnectionResetError):
            self._deaf = True  # it has closed, or shut down reading: as with TCP, what comes is dropped
            return len(data)

    def _give_more(self) -> None:
        del self._waiting[: self._give(self._waiting)]
        if self._deaf:
            self._waiting.clear()
        if not self._waiting:
            self._loop.remove_writer(self._end)
            self._transport.resume_reading()
            self._end_if_given()

    def _end_if_given(self) -> None:
        if not self._stream_ended or self._waiting:
            return
        if isinstance(self._transport, _Nothing):
            self._close()
        else:
            _shut_writing(self._end)

    def _program_closed(self) -> None:
        self._deaf = True
        self._transport.close()

    def _listen_for_hang_up(self) -> None:
        """Learn that the program closes after it has shut down writing; asyncio has no event for it."""
        self._hang_up = select.epoll()
        self._hang_up.register(self._end, 0)  # hang-ups and errors come unasked
        self._loop.add_reader(self._hang_up, self._hung_up_later)

    def _hung_up_later(self) -> None:
        self._stop_listening_for_hang_up()
        self._program_closed()

    def _stop_listening_for_hang_up(self) -> None:
        if self._hang_up is not None:
            self._loop.remove_reader(self._hang_up)
            self._hang_up.close()
            self._hang_up = None

    def _close(self) -> None:
        self._stop()
        self._end.close()

    def _stop(self) -> None:
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._stop_listening_for_hang_up()


class _Nothing(asyncio.Transport):
    """The transport of a stream that is over."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drop it."""

    def write_eof(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""


def _hung_up(end: socket.socket) -> bool:
    """Return whether the other end of the pair is closed, rather than shut down for writing."""
    poll = select.poll()
    poll.register(end, 0)
    return bool(poll.poll(0))


def _ended(end: socket.socket) -> bool:
    """Return whether nothing can be written to the other end of the pair any more."""
    poll = select.poll()
    poll.register(end, select.POLLRDHUP)
    return bool(poll.poll(0))


def _read_all(end: socket.socket) -> bytes:
    """Return what can still be read from an end whose other end is shut, whatever its time-out."""
    with socket.socket(fileno=os.dup(end.fileno())) as found:
        found.setblocking(False)
        return b"".join(iter(lambda: found.recv(CHUNK), b""))


def _shut_writing(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the program has closed its end
