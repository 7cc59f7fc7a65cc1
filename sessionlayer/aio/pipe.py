"""One data transport: bytes between a socket and a connection, as they are."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Protocol

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams.connection import Connection
from sessionlayer.streams.limits import DRAIN_MAX, END_GRACE_S, ENDED_LOOK_S

READ_BYTES = 256 * 1024
"""Bytes taken from the kernel at once, as asyncio's own transports do."""

SEALED_READ_BYTES = 64 * 1024
"""The same where records are opened: that takes more buffers of the same size, and larger ones than this are
had from the kernel anew each time, at the cost of a page fault for every 4 KiB."""

SENDS_MAX = 16
"""Calls of ``sendmsg`` in one turn of the loop, after which others have theirs."""


class Receiver(Protocol):
    """Who gets what a pipe brings."""

    def bytes_arrived(self, data: bytes) -> None:
        """Take the transport's next bytes."""

    def pipe_died(self, pipe: DataPipe, reason: str) -> None:
        """Learn that the transport is dead and closed."""

    def peer_fault(self, reason: str) -> None:
        """Learn that the peer broke the protocol, so that another transport would not help."""


class DataPipe:
    """A transport that is open; ``listen`` starts the reading half. It closes its socket itself.

    Args:
        sock: connected and non-blocking.
        connection: where bytes to send come from.
        receiver: who gets what arrives.
    """

    def __init__(self, sock: socket.socket, connection: Connection, receiver: Receiver) -> None:
        self.sock = sock
        self._connection = connection
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._fd = sock.fileno()
        self._read_bytes = SEALED_READ_BYTES if connection.opener else READ_BYTES
        self._listening = False
        self._reading = False
        self._writing = False
        self._shut = False
        self._waiting: asyncio.Future[None] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self.closed = False

    def listen(self, *, paused: bool) -> None:
        """Begin to hand out what arrives, now that the transport has proved itself."""
        self._listening = True
        if not paused:
            self.resume_reading()
        self.flush()

    async def read_first(self, count: int) -> bytes:
        """Return the transport's next ``count`` bytes, before ``listen``.

        Raises:
            ConnectionError: the transport died.
        """
        data = b""
        while len(data) < count:
            if self.closed:
                raise ConnectionResetError("the transport died")
            arrived = self._loop.create_future()
            self._loop.add_reader(self._fd, _wake, arrived)
            self._waiting = arrived
            try:
                await arrived
                piece = self.sock.recv(count - len(data))
            except BlockingIOError:
                continue
            finally:
                self._waiting = None
                if not self.closed:
                    self._loop.remove_reader(self._fd)
            if not piece:
                raise ConnectionResetError("the peer closed the transport")
            data += piece
        return data

    def pause_reading(self) -> None:
        """Leave what arrives to the kernel."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Hand out what arrives again."""
        if self._listening and not self._reading and not self.closed and self._grace is None:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    @property
    def unheard(self) -> bool:
        """Return whether nothing would tell that the transport has died: it is not read at present."""
        return self._listening and not self._reading

    def _readable(self) -> None:
        try:
            data = self.sock.recv(self._read_bytes)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._die(str(error))
            return
        if data:
            self._deliver(data)
        else:
            self._shut_by_peer()

    def _deliver(self, data: bytes) -> None:
        try:
            self._receiver.bytes_arrived(data)
        except RemoteProtocolError as error:
            self._receiver.peer_fault(str(error))

    def _shut_by_peer(self) -> None:
        """Wait for the statement that the stream has ended: only that makes it an end."""
        self.pause_reading()
        self._grace = self._loop.call_later(END_GRACE_S, self._grace_over)

    def _grace_over(self) -> None:
        """From the end on, ask now and then for what reading would tell: that the transport has died."""
        if not self._connection.inbound.ended:
            self._die("the transport was shut down before the stream had ended")
        elif error := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._die(os.strerror(error))
        else:
            self._grace = self._loop.call_later(ENDED_LOOK_S, self._grace_over)

    def flush(self) -> None:
        """Send as much as the kernel takes."""
        if self.closed or self._writing:
            return
        self._send()

    def _send(self) -> None:
        ring, sock = self._connection.ring, self.sock
        try:
            for _ in range(SENDS_MAX):
                buffers = ring.buffers()
                if not buffers:
                    self._all_sent()
                    return
                ring.sent(sock.send(buffers[0]) if len(buffers) == 1 else sock.sendmsg(buffers))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._drain()
            self._die(str(error))
            return
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._send)

    def _all_sent(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)
        if self._connection.end is not None and not self._shut:
            self._shut = True
            self.sock.shutdown(socket.SHUT_WR)

    def _drain(self) -> None:
        """Take what has arrived already, so that it need not be sent again."""
        taken = 0
        while self._reading and not self.closed and taken < DRAIN_MAX:
            try:
                data = self.sock.recv(self._read_bytes)
            except OSError:
                return
            if not data:
                return
            taken += len(data)
            self._deliver(data)

    def retire(self) -> None:
        """Take what has arrived, then close: another transport takes over, or none is needed."""
        self._drain()
        self.close()

    def close(self) -> None:
        """Close the socket at once; nobody is told."""
        if self.closed:
            return
        self.closed = True
        self.pause_reading()
        if self._waiting is not None:
            self._loop.remove_reader(self._fd)
            if not self._waiting.done():
                self._waiting.set_exception(ConnectionResetError("the transport died"))
        if self._writing:
            self._loop.remove_writer(self._fd)
        if self._grace is not None:
            self._grace.cancel()
        self.sock.close()

    def _die(self, reason: str) -> None:
        if not self.closed:
            self.close()
            self._receiver.pipe_died(self, reason)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
