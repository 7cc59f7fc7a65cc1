"""A shell or command that runs on a pseudo-terminal, as two descriptors.

Both descriptors may be handed to another process, which then serves the program as well as the one that
started it: its exit status comes through a pipe, because only a parent could ask the kernel for it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import termios
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

READ_MAX: Final = 32_768
"""Bytes read at once: what one packet of OpenSSH carries."""

UNKNOWN_STATUS: Final = 255
"""What ssh(1) itself returns after an error; here: the program was hung up."""

# The status goes to descriptor 3, which the program itself does not get. A trap, unlike an ignored signal, is
# not inherited: ^C ends the command but not what tells its status.
_KEEPER: Final = 'trap : INT QUIT TSTP; cd; "$@" 3>&-; echo $? >&3'
_DEFAULT_SIGNALS: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_END_OF_FILE: Final = b"\x04"


@dataclass(frozen=True, slots=True)
class Program:
    """A running program.

    Attributes:
        terminal: its input and output: the master of its pseudo-terminal, or a socket.
        status: the pipe that tells how it ended.
        on_terminal: whether it has a pseudo-terminal.
    """

    terminal: int
    status: int
    on_terminal: bool

    def resize(self, columns: int, rows: int, width: int = 0, height: int = 0) -> None:
        """Tell it the size of its window (the latter two are pixels)."""
        if self.on_terminal:
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))

    def read(self) -> bytes | None:
        """Return some of its output, nothing at the end, or None as long as there is none."""
        try:
            return os.read(self.terminal, READ_MAX)
        except BlockingIOError:
            return None
        except OSError:  # EIO is how a terminal says that nobody has it open
            return b""

    def write(self, data: bytes | bytearray) -> int:
        """Give it input; return how many bytes of it were taken."""
        try:
            return os.write(self.terminal, data)
        except BlockingIOError:
            return 0
        except OSError:  # it reads no more
            return len(data)

    def end_input(self) -> None:
        """Tell it that there will be no more input."""
        if self.on_terminal:
            self.write(_END_OF_FILE)
            return
        with suppress(OSError), socket.socket(fileno=os.dup(self.terminal)) as end:
            end.shutdown(socket.SHUT_WR)

    def exit_status(self) -> int:
        """Return how it ended, once `status` is readable."""
        return int(os.read(self.status, 16) or UNKNOWN_STATUS)

    def close(self) -> None:
        """Let go of it; if it still runs it is hung up."""
        os.close(self.terminal)
        os.close(self.status)


def start(command: list[str], environment: dict[str, str], *, on_terminal: bool) -> Program:
    """Start a command in the home folder of ``environment``, with a pseudo-terminal or without.

    Raises:
        OSError: the system has no more processes, descriptors or terminals.
    """
    ours, theirs = os.openpty() if on_terminal else _socket_pair()
    status, told = os.pipe()
    os.set_blocking(ours, False)
    try:
        _spawn(command, environment, theirs, told, on_terminal=on_terminal)
    except OSError:
        os.close(ours)
        os.close(status)
        raise
    finally:
        os.close(theirs)
        os.close(told)
    return Program(ours, status, on_terminal)


def _spawn(
    command: list[str], environment: dict[str, str], end: int, told: int, *, on_terminal: bool
) -> None:
    # A session's first process gets the terminal that it opens as its controlling one (setsid comes first).
    stdin = (
        (os.POSIX_SPAWN_OPEN, 0, os.ttyname(end), os.O_RDWR, 0)
        if on_terminal
        else (os.POSIX_SPAWN_DUP2, end, 0)
    )
    outputs = [(os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
    os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", _KEEPER, "sh", *command],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, told, 3), stdin, *outputs],
        setsid=True,
        setsigmask=(),
        setsigdef=_DEFAULT_SIGNALS,
    )


def _socket_pair() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()
