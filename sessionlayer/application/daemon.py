"""The conversation with the local daemon: requests from any thread, and one thread that reads.

The reading thread runs nothing of the program's. Where the daemon goes away, it looks for it again, at once
and then ever more slowly; the program is not disturbed meanwhile.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from sessionlayer.application.channel import close_all, connect, receive, send, send_or_drop
from sessionlayer.application.errors import DaemonGoneError, RefusedError, UnavailableError
from sessionlayer.application.messages import (
    Answer,
    Denied,
    Granted,
    HandlerFailed,
    KeepAlive,
    KeepRunning,
    Notice,
    Request,
)
from sessionlayer.application.outcome import Outcome

FIRST_WAIT_S: Final = 0.05
LAST_WAIT_S: Final = 2.0
"""How soon, and in the end how often, a daemon that went away is looked for. A restart takes about 0.3 s."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request was granted with. The descriptors are the receiver's."""

    granted: Granted
    descriptors: tuple[int, ...] = ()


class Daemon:
    """A connection to the daemon that is made again whenever it breaks.

    Args:
        notice: called from the reading thread with each notice and its descriptors; must return at once.
        returned: called from the reading thread when a daemon that had gone is back; may make requests but
            not wait for them.
        connection: to the daemon, if there is one already.

    Raises:
        UnavailableError: there is no daemon now.
    """

    def __init__(
        self,
        notice: Callable[[Notice, tuple[int, ...]], None],
        returned: Callable[[], None],
        connection: socket.socket | None = None,
    ) -> None:
        self._notice = notice
        self._returned = returned
        self._numbers = count(1)
        self._lock = threading.Lock()
        # Whoever sends a request has this too, and may wait for a daemon that is slow to read. Nobody waits
        # with the other lock: what is mentioned, what is answered and `close` need that one alone.
        self._sending = threading.Lock()
        self._pending: dict[int, Outcome[Reply]] = {}
        self._closed = threading.Event()
        self._connection: socket.socket | None = connection or connect()
        self._reader = threading.Thread(target=self._read, name="migrate-reader", daemon=True)
        self._reader.start()

    def request(self, make: Callable[[int], Request], descriptors: Sequence[int] = ()) -> Outcome[Reply]:
        """Send the request that ``make`` makes of its number.

        The outcome fails with `RefusedError` or `DaemonGoneError`.

        Raises:
            ValueError: the request is too large.
        """
        outcome: Outcome[Reply] = Outcome()
        number = next(self._numbers)
        with self._lock:
            self._pending[number] = outcome
        try:
            self._send(make(number), descriptors)
        except DaemonGoneError as error:
            self._settle(number).fail(error)
        except ValueError:
            self._settle(number)
            raise
        return outcome

    def tell(self, message: KeepRunning | HandlerFailed) -> None:
        """Say something that has no answer; a daemon that has gone does not need it."""
        try:
            self._send(message, ())
        except DaemonGoneError:
            return

    def mention(self, message: KeepAlive) -> bool:
        """Say something that nobody waits for, if the daemon takes it at once; return whether it does."""
        with self._lock:
            if self._connection is None:
                return False
            try:
                return send_or_drop(self._connection, message)
            except DaemonGoneError:
                return False

    def close(self) -> None:
        """End the conversation and its thread; what is pending fails."""
        self._closed.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            _shut(connection)
        if threading.current_thread() is not self._reader:
            self._reader.join()

    def _send(self, message: Request, descriptors: Sequence[int]) -> None:
        with self._sending:
            with self._lock:
                connection = self._connection
            if connection is None:
                raise DaemonGoneError("the Migrate daemon is away; it is looked for")
            send(connection, message, descriptors)

    def _settle(self, number: int) -> Outcome[Reply]:
        """Take out what waits for an answer; a number that nobody waits for gives one that nobody hears."""
        with self._lock:
            return self._pending.pop(number, None) or Outcome()

    def _read(self) -> None:
        while not self._closed.is_set():
            try:
                self._dispatch(*receive(self._connected()))
            except DaemonGoneError as error:
                self._lose(error)
                self._look()
        self._lose(DaemonGoneError("the conversation with the Migrate daemon was ended"))

    def _connected(self) -> socket.socket:
        assert self._connection is not None  # only this thread takes it away
        return self._connection

    def _dispatch(self, answer: Answer, descriptors: list[int]) -> None:
        match answer:
            case Granted():
                self._grant(answer, descriptors)
            case Denied():
                close_all(descriptors)
                self._settle(answer.number).fail(RefusedError(answer.code, answer.reason))
            case _:
                self._notice(answer, tuple(descriptors))

    def _grant(self, granted: Granted, descriptors: list[int]) -> None:
        with self._lock:
            outcome = self._pending.pop(granted.number, None)
        if outcome is None:
            close_all(descriptors)
        else:
            outcome.finish(Reply(granted, tuple(descriptors)))

    def _lose(self, error: DaemonGoneError) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            pending, self._pending = self._pending, {}
        if connection is not None:
            _shut(connection)
            with self._sending:
                connection.close()
        for outcome in pending.values():
            outcome.fail(error)

    def _look(self) -> None:
        """Wait for the daemon to come back, or for `close`."""
        wait_s = 0.0
        while not self._closed.wait(wait_s):
            try:
                connection = connect()
            except UnavailableError:
                wait_s = min(max(2 * wait_s, FIRST_WAIT_S), LAST_WAIT_S)
                continue
            with self._lock:
                self._connection = connection
            self._returned()
            return


def _shut(connection: socket.socket) -> None:
    """Wake whoever reads from a connection, or waits to write to it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other end was quicker
