"""One ssh whose standard input and output are the far end of a socket: a process that carries a transport.

Source: socketpair(2), subprocess.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

GRACE_S: Final = 0.5
"""Seconds that an ssh has to end by itself when its transport is closed, and again when it is told to."""

_HEARD_MAX: Final = 4096


class Child:
    """A process with one end of a pair of sockets for standard input and output.

    Whoever uses the other end closes it to give the process up, which `drop_closed` then ends.

    Attributes:
        process: the process.
        sock: our end.
        path: what others share its login by.
    """

    def __init__(self, command: Sequence[str], path: Path, *, attended: bool) -> None:
        """Start it.

        Args:
            command: what to run.
            path: what others share its login by.
            attended: whether it may ask the user, who sees its complaints until `hush`; else they are kept.

        Raises:
            OSError: it can't be started.
        """
        self.path = path
        self._hushed = threading.Event()
        self._reading = threading.Lock()
        # Its own session keeps the keys of the user's terminal from it.
        self._errors: IO[bytes] | None = None if attended else tempfile.TemporaryFile()  # noqa: SIM115
        self.sock, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE if self._errors is None else self._errors.fileno(),
                    start_new_session=not attended,
                )
            except BaseException:
                self.sock.close()
                self._close_errors()
                raise
        if self.process.stderr is not None:
            os.set_blocking(self.process.stderr.fileno(), False)
            threading.Thread(target=self._pass_on, args=(self.process.stderr,), daemon=True).start()

    @property
    def carries(self) -> bool:
        """Whether its transport is in use."""
        return self.sock.fileno() >= 0 and self.process.poll() is None

    def complaints(self) -> list[str]:
        """Return the lines that it and the other host had to say, unless the user has seen them."""
        if self._errors is None:
            return []
        self._errors.seek(0)
        return self._errors.read(_HEARD_MAX).decode(errors="replace").strip().splitlines()

    def hush(self) -> None:
        """Show nothing of its complaints from now on, but all that it has said until now."""
        errors = self.process.stderr
        with self._reading, suppress(BlockingIOError):
            while errors is not None and not errors.closed and self._show(errors):
                continue
        self._hushed.set()

    async def hear(self, word: bytes) -> None:
        """Wait for a word of the far side; what its shell's start-up files print may come before it.

        Raises:
            ConnectionError: the process ended before.
        """
        loop = asyncio.get_running_loop()
        heard = b""
        while not heard.endswith(word):
            piece = await loop.sock_recv(self.sock, _HEARD_MAX)
            if not piece:
                raise ConnectionResetError("ssh has ended")
            heard = (heard + piece)[-_HEARD_MAX:]

    def drop_closed(self) -> bool:
        """Tell the process to end if its transport was given up; return whether it has ended since."""
        if self.sock.fileno() >= 0:
            return False
        if self.process.poll() is None:
            self.process.terminate()
            return False
        self._close_errors()
        return True

    def _close_errors(self) -> None:
        if self._errors is not None:
            self._errors.close()

    def _pass_on(self, errors: IO[Any]) -> None:
        while select.select([errors], [], []):
            with self._reading, suppress(BlockingIOError):  # which was read by `hush`
                if not self._show(errors):
                    errors.close()
                    return

    def _show(self, errors: IO[Any]) -> bool:
        """Show what can be read, and return whether that was not the end.

        Raises:
            BlockingIOError: nothing can be read now.
        """
        piece = os.read(errors.fileno(), _HEARD_MAX)
        if not self._hushed.is_set():
            sys.stderr.buffer.write(piece)
            sys.stderr.buffer.flush()
        return bool(piece)


def await_end(children: Iterable[Child]) -> None:
    """Wait `GRACE_S` for the end of all processes."""
    deadline = time.monotonic() + GRACE_S
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))


def end(children: Sequence[Child]) -> None:
    """End all processes: by the end of their input, and those that don't heed it by force."""
    for child in children:
        child.hush()
        child.sock.close()
    await_end(children)
    for child in children:
        child.process.terminate()
    await_end(children)
    for child in children:
        child.process.kill()
        child.process.wait()
        child.drop_closed()
