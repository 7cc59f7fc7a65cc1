"""A terminal window in which somebody types, and a program whose echo is watched.

What is typed are numbers, a line each, which the far end sends back. They are read off the screen, not out of
the bytes that arrive: Mosh sends what has changed of a screen, and not what was written to it.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from typing import Any

from migrated.lab import Host
from migrated.terminal.screen import Reader, understood

ROWS, COLUMNS = 24, 80
BEAT_S = 0.02
"""Faster than anybody types, so that the gap is not the time until the next key."""

FAR_END = "stty -echo; exec cat"
"""What runs at the other end: each line comes back once it has arrived there."""

_NUMBER = re.compile(r"\bkey(\d{6})\b")
_NO_NUMBER = 10**6
"""Above all that are typed."""

_ECHO_FLAG = 3
"""Where ``tcgetattr`` has the flags with ECHO."""


class Window:
    """A program on a host, in a terminal."""

    def __init__(self, host: Host, command: list[str], environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        _without_echo(slave)
        self._reader = Reader(COLUMNS, ROWS)
        self._typed, self._due = 0, time.monotonic()
        self._process: subprocess.Popen[Any] = host.popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment
        )
        os.close(slave)

    def await_echo(self, limit_s: float, *, newer_than: int = 0) -> int | None:
        """Type until a number above ``newer_than`` is on the screen; return it, ``None`` after the limit."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and self._process.poll() is None:
            self._type_if_due()
            if self._look() and (seen := self._newest()) > newer_than:
                return seen
        return None

    def type_for(self, seconds: float) -> None:
        """Type for so long, whatever comes back."""
        self.await_echo(seconds, newer_than=_NO_NUMBER)

    @property
    def typed(self) -> int:
        """Return the last number that was typed."""
        return self._typed

    def screen(self) -> str:
        """Return what is on the screen, for people."""
        return "\n".join(line.rstrip() for line in self._reader.screen.display if line.strip())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _type_if_due(self) -> None:
        if time.monotonic() >= self._due:
            self._due += BEAT_S
            self._typed += 1
            os.write(self._master, f"key{self._typed:06}\n".encode())

    def _look(self) -> bool:
        wait_s = max(0.0, self._due - time.monotonic())
        if not select.select([self._master], [], [], wait_s)[0]:
            return False
        self._reader.feed(understood(os.read(self._master, 65536)))
        return True

    def _newest(self) -> int:
        numbers = _NUMBER.findall("\n".join(self._reader.screen.display))
        return max(map(int, numbers), default=0)


def _without_echo(terminal: int) -> None:
    """Have nothing echoed here, also while no program has the terminal in its hands."""
    attributes = termios.tcgetattr(terminal)
    attributes[_ECHO_FLAG] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
