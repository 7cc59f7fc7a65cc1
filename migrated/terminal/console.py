"""The terminal that the client itself runs in: raw while it is used, as it was before in any case afterwards.

Source: termios(3).
"""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from migrated.terminal.shell import size_of

_READ_MAX: Final = 16 * 1024


class NoTerminalError(Exception):
    """Standard input or output is no terminal."""


class Console:
    """A terminal to read keys from and to draw on.

    It is opened a second time for this, not to block: the setting belongs to the open file, which other
    programs share. A terminal that its user has stopped must not stop the event loop, and with it the
    heartbeat.

    Args:
        descriptor: a terminal.
    """

    def __init__(self, descriptor: int) -> None:
        if not os.isatty(descriptor):
            raise NoTerminalError("standard input is not a terminal")
        self._descriptor = _open_again(descriptor)
        self._loop = asyncio.get_running_loop()
        self._before: list[Any] = termios.tcgetattr(self._descriptor)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the window."""
        return size_of(self._descriptor)

    @contextmanager
    def raw(self) -> Iterator[None]:
        """Pass every key on as it is, until the block ends, however it ends."""
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def take(self) -> None:
        """Make the terminal raw."""
        tty.setraw(self._descriptor, termios.TCSANOW)

    def give_back(self) -> None:
        """Make the terminal what it was."""
        termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)

    async def read(self) -> bytes:
        """Return what was typed; nothing means that the terminal is gone."""
        while True:
            try:
                return os.read(self._descriptor, _READ_MAX)
            except BlockingIOError:
                await self._ready(reading=True)
            except OSError:  # EIO: it was closed
                return b""

    async def write(self, data: bytes) -> None:
        """Write to the screen, waiting while it takes nothing.

        Raises:
            OSError: the terminal is gone.
        """
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                await self._ready(reading=False)

    def close(self) -> None:
        """Close the second opening of the terminal."""
        os.close(self._descriptor)

    async def _ready(self, *, reading: bool) -> None:
        ready = asyncio.Event()
        add = self._loop.add_reader if reading else self._loop.add_writer
        remove = self._loop.remove_reader if reading else self._loop.remove_writer
        add(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self._descriptor)


def _open_again(descriptor: int) -> int:
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except PermissionError:
        # After su(1) the terminal is still the other user's. By this name it is open to whom it controls.
        return os.open("/dev/tty", flags)
