"""Messages with descriptors over SOCK_SEQPACKET, and descriptors that are closed on every path.

Source: unix(7), ``SCM_RIGHTS``; recvmsg(2), ``MSG_CTRUNC``.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from sessionlayer.application.messages import DESCRIPTORS_MAX, MESSAGE_MAX

_INT_BYTES: Final = array.array("i").itemsize
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(DESCRIPTORS_MAX * _INT_BYTES)


class BrokenMessageError(Exception):
    """Say why the other end can't be understood; the connection to it ends."""


class Descriptors:
    """Descriptors of ours; what has not been taken out by the end of a ``with`` block is closed."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._numbers = list(numbers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return their numbers, in order; they stay ours."""
        return tuple(self._numbers)

    def add(self, number: int) -> None:
        """Take one in, behind the others."""
        self._numbers.append(number)

    def take(self) -> Descriptors:
        """Take them all out, for a new owner who closes them."""
        taken, self._numbers = Descriptors(self._numbers), []
        return taken

    def take_first(self) -> Descriptors:
        """Take the first one out."""
        return Descriptors([self._numbers.pop(0)])

    def give_up(self) -> tuple[int, ...]:
        """Return their numbers; whoever gets them closes them."""
        return self.take().numbers

    def close(self) -> None:
        """Close them all. Closing twice is harmless."""
        while self._numbers:
            os.close(self._numbers.pop())


def duplicates(numbers: Iterable[int]) -> Descriptors:
    """Return duplicates of all these descriptors, or of none.

    Raises:
        OSError: there is no descriptor left.
    """
    with Descriptors() as made:
        for number in numbers:
            made.add(os.dup(number))
        return made.take()


def receive(
    sock: socket.socket, close: Callable[[Descriptors], None] = Descriptors.close
) -> tuple[bytes, Descriptors]:
    """Receive one message; empty at the end of the conversation.

    Args:
        sock: a non-blocking SOCK_SEQPACKET socket.
        close: closes the descriptors of a message that is refused.

    Raises:
        BlockingIOError: there is none yet.
        BrokenMessageError: it was longer, or had more descriptors, than is allowed; they are closed.
        OSError: the connection broke.
    """
    data, ancillary, flags, _ = sock.recvmsg(
        MESSAGE_MAX, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
    )
    descriptors = Descriptors(_numbers_in(ancillary))
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close(descriptors)
        raise BrokenMessageError(
            f"a message may have {MESSAGE_MAX} bytes and {DESCRIPTORS_MAX} descriptors, and no more "
            "descriptors than the daemon may have open"
        )
    return data, descriptors


def send(sock: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one message, with duplicates of these descriptors.

    Raises:
        BlockingIOError: the other end has not read enough yet.
        OSError: the connection broke.
    """
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sock.sendmsg([data], ancillary, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def _numbers_in(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    numbers = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(payload[: len(payload) - len(payload) % _INT_BYTES])
    return list(numbers)
