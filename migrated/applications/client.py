"""One program's connection to the application socket: what is sent to it waits its turn, within bounds."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from migrated.applications.waits import Closer
from migrated.applications.wire import BrokenMessageError, Descriptors, duplicates, receive, send
from migrated.continuations.bounds import Sender
from migrated.control.permission import Credentials
from sessionlayer.application.messages import Answer, Denied, Request, decode_request, encode

UNREAD_MAX: Final = 4096
"""Messages that wait for a program to read; one that reads none loses its connection to the daemon."""

BURST_MAX: Final = 64
"""Messages that are read of one program before others have their turn."""

_log = logging.getLogger(__name__)


class Client:
    """A program that speaks to the daemon.

    Args:
        sock: connected, non-blocking.
        who: as the kernel says.
        on_request: takes a request and its descriptors, which are closed when it returns.
        on_gone: called once, when there is no connection any more.
        closer: closes descriptors.
        started_as: what it may ask for, where we have made both ends: the kernel would vouch for us there.
    """

    def __init__(
        self,
        sock: socket.socket,
        who: Credentials,
        on_request: Callable[[Client, Request, Descriptors], None],
        on_gone: Callable[[Client], None],
        closer: Closer,
        started_as: Sender | None = None,
    ) -> None:
        self.who = who
        self._closer = closer
        self._sock = sock
        self._started_as = started_as
        self._on_request = on_request
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[tuple[bytes, Descriptors]] = deque()
        self._open = True
        self._loop.add_reader(sock, self._read)

    @property
    def open(self) -> bool:
        """Return whether the program can still be told anything."""
        return self._open

    def sender(self) -> Sender:
        """Return what the program may ask us to start.

        Raises:
            OSError: there is no connection any more.
        """
        return self._started_as or Sender.of(self._sock)

    def tell(self, message: Answer, descriptors: Sequence[int] = ()) -> None:
        """Send a message, now or when the program has read what came before.

        Args:
            message: to send.
            descriptors: duplicates of them are sent; they stay the caller's.

        Raises:
            OSError: there is no descriptor left; nothing is sent.
        """
        if not self._open:
            return
        if len(self._unsent) >= UNREAD_MAX:
            _log.warning("a program (pid %d) does not read what it is told; it is left alone", self.who.pid)
            self.close()
            return
        self._unsent.append((encode(message), duplicates(descriptors)))
        self._flush()

    def close(self) -> None:
        """End the conversation."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for _, descriptors in self._unsent:
            descriptors.close()
        self._unsent.clear()
        self._on_gone(self)

    def _read(self) -> None:
        for _ in range(BURST_MAX):
            if not self._open or not self._read_one():
                return

    def _read_one(self) -> bool:
        """Take one message; return whether there may be another."""
        if self._closer.is_busy(self.who.uid):
            self._refuse("descriptors that you sent can't be closed, as their file systems do not answer")
            return False
        try:
            data, descriptors = receive(self._sock, self._close_descriptors)
        except BlockingIOError:
            return False
        except BrokenMessageError as error:
            self._refuse(str(error))
            return False
        except OSError as error:
            _log.debug("a program (pid %d) went away: %s", self.who.pid, error)
            self.close()
            return False
        try:
            return self._take(data, descriptors)
        finally:
            self._close_descriptors(descriptors)

    def _take(self, data: bytes, descriptors: Descriptors) -> bool:
        if not data:
            self.close()
            return False
        try:
            request = decode_request(data)
        except msgspec.DecodeError as error:
            self._refuse(f"this is not a request: {error}")
            return False
        self._on_request(self, request, descriptors)
        return True

    def _close_descriptors(self, descriptors: Descriptors) -> None:
        self._closer.close(descriptors.give_up(), self.who.uid, self.who.pid)

    def _refuse(self, reason: str) -> None:
        self.tell(Denied(number=0, code="bad-request", reason=reason))
        self.close()

    def _flush(self) -> None:
        while self._unsent:
            data, descriptors = self._unsent[0]
            try:
                send(self._sock, data, descriptors.numbers)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError as error:
                _log.debug("a program (pid %d) can't be told: %s", self.who.pid, error)
                self.close()
                return
            self._unsent.popleft()
            descriptors.close()
        self._loop.remove_writer(self._sock)
