"""One control transport: sealed messages between a socket and the session's state machine."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Protocol

READ_BYTES = 64 * 1024


class ControlOwner(Protocol):
    """Who says and hears what travels."""

    def control_arrived(self, data: bytes) -> None:
        """Take the transport's next bytes."""

    def control_output(self) -> bytes:
        """Return what is to be said now."""

    def control_died(self, link: ControlLink, reason: str) -> None:
        """Learn that the transport is dead and closed."""


class ControlLink:
    """A control transport that is open.

    It asks for more to say only when all before is with the kernel, so that a peer that doesn't read costs
    one set of statements and no more.
    """

    def __init__(self, sock: socket.socket, owner: ControlOwner) -> None:
        self.sock = sock
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._fd = sock.fileno()
        self._unsent = b""
        self._closed = False
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.die(str(error))
            return
        if data:
            self._owner.control_arrived(data)
        else:
            self.die("the peer closed the control transport")

    def flush(self) -> None:
        """Say what there is to say."""
        if not self._closed and not self._unsent:
            self._send(self._owner.control_output())

    def _writable(self) -> None:
        self._loop.remove_writer(self._fd)
        rest, self._unsent = self._unsent, b""
        self._send(rest)
        self.flush()

    def _send(self, data: bytes) -> None:
        if not data:
            return
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self.die(str(error))
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.add_writer(self._fd, self._writable)

    def close(self, farewell: bytes = b"") -> None:
        """Say a last word if the kernel takes it, and close; nobody is told."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        if self._unsent:
            self._loop.remove_writer(self._fd)
        elif farewell:
            with suppress(OSError):
                self.sock.send(farewell)
        self.sock.close()

    def die(self, reason: str) -> None:
        """Close, and tell the owner why."""
        if not self._closed:
            self.close()
            self._owner.control_died(self, reason)
