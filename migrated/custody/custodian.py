"""A process that does nothing but hold descriptors by name, while daemons come and go.

It is run as a file, by an isolated interpreter without site packages, and imports little: it has to start
quickly, stay small, and be so simple that it does not die. One daemon at a time speaks to it, over a
SOCK_SEQPACKET socket: a message is one byte that says what, then a name, with descriptors beside it.

The daemon need not wait for an answer: what it has sent is in this process's socket, also if the daemon dies
right after. So the messages of a daemon that died are taken in before the next one is let in. That one may
be of a later version than this process: what a message means must never change.

    custodian.py PATH    # descriptor 3 is the socket that was bound to PATH

Source: unix(7), ``SCM_RIGHTS`` and ``SO_PEERCRED``.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

KEEP: Final = b"K"
"""From the daemon: hold these descriptors, in place of others of that name."""

DROP: Final = b"D"
"""From the daemon: close what has that name."""

ALL: Final = b"A"
"""From the daemon: send duplicates of everything, and hold it still."""

HELD: Final = b"H"
"""To the daemon: duplicates of what has that name."""

END: Final = b"E"
"""To the daemon: that was everything. The process's id stands in place of a name."""

LOST: Final = b"L"
"""To the daemon: what had that name can't be held, because no more descriptors may be open here."""

NAME_MAX: Final = 255
DESCRIPTORS_MAX: Final = 253
"""Of one message; the kernel's ``SCM_MAX_FD``."""

LISTENER: Final = 3

EMPTY_S: Final = 30.0
"""Seconds after which a custodian ends that holds nothing."""

LOOK_S: Final = 60.0
"""Seconds between two looks whether a daemon could find us at all, while there is none."""

ALONE_S: Final = 7 * 86_400.0
"""Seconds without a daemon after which none is expected any more."""

SEND_S: Final = 10
"""Seconds in which a daemon must read what it has asked for."""

_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(DESCRIPTORS_MAX * array.array("i").itemsize)
_TIMEVAL: Final = struct.Struct("@ll")
_UCRED: Final = struct.Struct("=iII")


class Custodian:
    """Holds descriptors.

    Args:
        listener: where daemons connect.
        path: where it is bound.
    """

    def __init__(self, listener: socket.socket, path: str) -> None:
        self._listener = listener
        self._path = path
        self._file = _identity(path)
        self._daemon: socket.socket | None = None
        # While no daemon is connected this is its place: however many descriptors are held, one can connect.
        self._place = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._held: dict[bytes, list[int]] = {}
        self._alone_since = time.monotonic()

    def run(self) -> None:
        """Serve until nothing is held any more, or nobody will ever ask for it."""
        while True:
            ready = self._wait()
            if not ready and self._is_useless():
                break
            if self._daemon is not None and self._daemon.fileno() in ready:
                self._hear()
            if self._listener.fileno() in ready:
                self._let_in()
        # One that connects before this is not answered, sees the end, and starts another.
        if _identity(self._path) == self._file:
            os.unlink(self._path)  # noqa: PTH108 - pathlib would double what is imported

    def _wait(self) -> list[int]:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        if self._daemon is not None:
            poll.register(self._daemon, select.POLLIN)
        return [number for number, _ in poll.poll(self._patience_ms())]

    def _patience_ms(self) -> float | None:
        if not self._held:
            return EMPTY_S * 1000
        return LOOK_S * 1000 if self._daemon is None else None

    def _is_useless(self) -> bool:
        if not self._held:
            return True
        alone_s = time.monotonic() - self._alone_since
        return self._daemon is None and (alone_s >= ALONE_S or _identity(self._path) != self._file)

    # Daemons.

    def _let_in(self) -> None:
        """Let a daemon in, in place of one that is gone; and nobody else."""
        self._hear()
        self._leave()
        os.close(self._place)
        try:
            newcomer, _ = self._listener.accept()
        except OSError:  # it went away meanwhile
            self._place = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            return
        self._daemon = newcomer
        newcomer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(SEND_S, 0))
        _, uid, _ = _UCRED.unpack(newcomer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid != os.geteuid():
            self._leave()

    def _leave(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None
            self._place = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            self._alone_since = time.monotonic()

    def _hear(self) -> None:
        """Take in all that the daemon has sent."""
        while self._daemon is not None:
            try:
                received = _receive(self._daemon)
            except BlockingIOError:
                return
            except OSError:
                self._leave()
                return
            try:
                self._take(*received)
            except OSError:  # it is gone, or does not read
                self._leave()

    def _take(self, message: bytes, numbers: list[int], complete: bool) -> None:
        what, name = message[:1], message[1:]
        if what == KEEP:
            self._drop(name)
            self._held[name] = numbers
            if not complete:
                self._drop(name)
                self._send(LOST + name)
            return
        _close(numbers)
        if what == DROP:
            self._drop(name)
        elif what == ALL:
            for held, its_numbers in self._held.items():
                self._send(HELD + held, its_numbers)
            self._send(END + b"%d" % os.getpid())
        else:  # the end of the conversation
            self._leave()

    def _send(self, message: bytes, numbers: list[int] | None = None) -> None:
        assert self._daemon is not None
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers))] if numbers else []
        deadline = time.monotonic() + SEND_S
        while True:
            try:
                self._daemon.sendmsg([message], beside, socket.MSG_NOSIGNAL)
                return
            except OSError as error:  # too many are on their way; the daemon takes them in meanwhile
                if error.errno != errno.ETOOMANYREFS or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def _drop(self, name: bytes) -> None:
        _close(self._held.pop(name, []))


def _close(numbers: list[int]) -> None:
    for number in numbers:
        with suppress(OSError):  # what could not be flushed; it is closed all the same
            os.close(number)


def _receive(sock: socket.socket) -> tuple[bytes, list[int], bool]:
    """Receive a message; say whether it is complete."""
    data, ancillary, flags, _ = sock.recvmsg(
        1 + NAME_MAX, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
    )
    numbers = array.array("i")
    for _, _, payload in ancillary:
        numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
    return data, list(numbers), not flags & socket.MSG_CTRUNC


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _close_the_rest() -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - as above
        if int(name) > LISTENER:
            with suppress(OSError):  # the listing's own, closed by now
                os.close(int(name))


def main() -> None:
    """Hold descriptors, as the program that the daemon starts."""
    _close_the_rest()
    os.chdir("/")
    with open("/proc/self/comm", "w") as name:  # noqa: PTH123 - as above
        name.write("migrate-custody")
    listener = socket.socket(fileno=LISTENER)
    listener.setblocking(False)
    Custodian(listener, sys.argv[1]).run()


if __name__ == "__main__":
    main()
