"""Ask the daemon over its control socket, from programs that need no event loop."""

from __future__ import annotations

import io
import select
import socket
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from migrated.control.messages import (
    MAX_ANSWER_BYTES,
    Answer,
    EventReport,
    Refused,
    Request,
    Watch,
    decode_answer,
    encode,
)
from migrated.control.observations import Events

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ANSWER_TIMEOUT_S: Final = 30.0
"""How long a daemon may take to answer; a move over a slow link takes seconds."""

_WAIT_STEP_S: Final = 0.5

_START: Final = (
    "start `migrated` as root, or name its socket with `--socket`; "
    "`migrate ssh` and `migrate gateway` need no daemon"
)


class UnreachableError(Exception):
    """Say why no daemon answers, and what to do."""


class RefusedError(Exception):
    """Say why the daemon refused; ``code`` is for programs."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.reason)
        self.code = refused.code


def request(path: Path, message: Request, timeout_s: float = ANSWER_TIMEOUT_S) -> Answer:
    """Ask the daemon one thing and return its answer.

    Args:
        path: the control socket.
        message: one that has one answer.
        timeout_s: seconds that each step may take.

    Raises:
        UnreachableError: no daemon answers there.
        RefusedError: the daemon refuses.
    """
    with conversation(path, timeout_s) as ask:
        return ask(message)


@contextmanager
def conversation(path: Path, timeout_s: float = ANSWER_TIMEOUT_S) -> Iterator[Callable[[Request], Answer]]:
    """Yield a function that asks the daemon one thing after the other, over one connection.

    Args:
        path: the control socket.
        timeout_s: seconds that each step may take.

    Raises:
        UnreachableError: no daemon answers there, or it has ended.
        RefusedError: the daemon refuses.
    """
    with _connected(path, timeout_s) as (sock, lines):

        def ask(message: Request) -> Answer:
            _send(sock, message)
            return _receive(lines)

        yield ask


def watch(path: Path, message: Watch | Events | None = None) -> Generator[EventReport, None, None]:
    """Return events as they happen, until the daemon ends.

    Args:
        path: the control socket.
        message: which events; by default all of the daemon's own.

    Raises:
        UnreachableError: no daemon answers there, or it has ended.
        RefusedError: the daemon refuses.
    """
    with _connected(path, ANSWER_TIMEOUT_S) as (sock, _):
        _send(sock, message or Watch())
        lines = io.BufferedReader(_Unhurried(sock))
        while True:
            event = _receive(lines)
            if not isinstance(event, EventReport):
                raise UnreachableError(
                    "the daemon sent something that is no event; is it of another version?"
                )
            yield event


class _Unhurried(io.RawIOBase):
    """Reads what comes, however late, and hears of signals meanwhile.

    Python does not hear of one that comes between its last look for one and a wait until that wait is over,
    which must have a bound therefore.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not select.select([self._sock], [], [], _WAIT_STEP_S)[0]:
            continue
        return self._sock.recv_into(buffer)


@contextmanager
def _connected(path: Path, timeout_s: float) -> Iterator[tuple[socket.socket, BinaryIO]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        _connect(sock, path)
        try:
            with sock.makefile("rb") as lines:
                yield sock, lines
        except TimeoutError as error:
            raise UnreachableError(f"the daemon at {path} does not answer within {timeout_s:g} s") from error
        except ConnectionError as error:
            raise _ended() from error


def _connect(sock: socket.socket, path: Path) -> None:
    try:
        sock.connect(str(path))
    except OSError as error:
        raise UnreachableError(_why_unreachable(path, error)) from error


def _why_unreachable(path: Path, error: OSError) -> str:
    if _is_no_socket(path):  # the kernel says that it refuses, or that we may not write to it
        return f"{path} is not a socket; name the daemon's with `--socket`"
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return f"no daemon is running at {path}; {_START}"
        case PermissionError():
            return f"you have no permission to use {path}: it is another user's daemon"
    return f"cannot connect to {path}: {(error.strerror or str(error)).lower()}"


def _is_no_socket(path: Path) -> bool:
    """Return whether something else is there, as far as we may know."""
    try:
        return not stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _send(sock: socket.socket, message: Request) -> None:
    try:
        sock.sendall(encode(message))
    except (BrokenPipeError, ConnectionResetError):
        # The daemon closed after a word of its own, which is still to be read.
        return


def _receive(lines: BinaryIO) -> Answer:
    line = lines.readline(MAX_ANSWER_BYTES)
    if not line.endswith(b"\n"):
        raise _ended()
    try:
        answer = decode_answer(line)
    except msgspec.DecodeError as error:
        reason = "the daemon's answer can't be read; is it of another version?"
        raise UnreachableError(f"{reason} ({error})") from error
    if isinstance(answer, Refused):
        raise RefusedError(answer)
    return answer


def _ended() -> UnreachableError:
    return UnreachableError("the daemon closed the connection; has it ended?")
