"""A program in a pseudo-terminal of its own, as the leader of a session.

Source: pty(7), posix_spawn(3), pidfd_open(2), credentials(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import signal
import struct
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SIGNALLED: Final = 128
_AT_FIRST: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)
_IUTF8: Final = 0o40000


class ShellError(Exception):
    """Say why no program can be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start: ``argv[0]`` is the name that the program sees, ``environment`` all that it has."""

    path: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]


def program_for(command: str, environment: Mapping[str, str]) -> Program:
    """Return the user's shell, as a login shell, or running ``command`` if there is one.

    Args:
        command: as one would type it.
        environment: of the session that asks for it; ``SHELL`` in it names the shell.
    """
    user = pwd.getpwuid(os.getuid())
    shell = environment.get("SHELL") or user.pw_shell or "/bin/sh"
    name = Path(shell).name
    argv = (name, "-c", command) if command else (f"-{name}",)
    defaults = {
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": shell,
        "PATH": os.defpath,
    }
    return Program(path=shell, argv=argv, environment={**defaults, **environment})


class Shell:
    """A running program and the master end of its pseudo-terminal.

    Attributes:
        pid: its process, which leads a session and a process group.
        master: the master end, not blocking; `close` closes it.
        exited: a pidfd that is readable when the program has ended; `status` then closes it.
    """

    def __init__(self, program: Program, rows: int, columns: int) -> None:
        """Start a program, in the folder where this process is.

        Args:
            program: what to start.
            rows: height of the window in cells.
            columns: its width.

        Raises:
            ShellError: it can't be started.
        """
        try:
            self.master, slave = os.openpty()
        except OSError as error:
            raise ShellError(f"no pseudo-terminal for a shell: {_reason(error)}") from error
        try:
            self.resize(rows, columns)
            _expect_utf8(slave)
            self.pid = _spawn(program, os.ttyname(slave))
        except (OSError, ValueError) as error:  # ValueError: what can't be in an environment or a command
            os.close(self.master)
            raise ShellError(f"cannot start `{program.path}`: {_reason(error)}") from error
        finally:
            os.close(slave)
        os.set_blocking(self.master, False)
        self.exited = os.pidfd_open(self.pid)

    def resize(self, rows: int, columns: int) -> None:
        """Say that the window has another size; the kernel tells the program."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program's process group and to the one in the foreground."""
        groups = {self.pid}
        with contextlib.suppress(OSError):
            groups.add(os.tcgetpgrp(self.master))
        for group in groups - {0}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)

    def status(self) -> int:
        """Reap the program, which has ended, and return its exit status: 128 and more for a signal."""
        result = os.waitid(os.P_PIDFD, self.exited, os.WEXITED)
        os.close(self.exited)
        assert result is not None
        return result.si_status if result.si_code == os.CLD_EXITED else _SIGNALLED + result.si_status

    def close(self) -> None:
        """Close the master end: whatever still runs in the terminal gets SIGHUP."""
        os.close(self.master)


def _spawn(program: Program, terminal: str) -> int:
    # A leader of a session that has no controlling terminal gets the first that it opens.
    opened = (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0)
    actions = (opened, *((os.POSIX_SPAWN_DUP2, 0, to) for to in (1, 2)))
    return os.posix_spawn(
        program.path,
        program.argv,
        program.environment,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=_AT_FIRST,
    )


def _expect_utf8(slave: int) -> None:
    """Have the erase key take whole characters. Source: termios(3), IUTF8."""
    attributes = termios.tcgetattr(slave)
    attributes[0] |= _IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, attributes)


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def size_of(descriptor: int) -> tuple[int, int]:
    """Return rows and columns of a terminal's window; 24 and 80 where it does not say.

    Raises:
        OSError: it is not a terminal.
    """
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8)))
    return rows or 24, columns or 80
