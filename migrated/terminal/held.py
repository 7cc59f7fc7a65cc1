"""A terminal that is held: a shell, its output, and at most one client at a time.

A connected client that reads slowly stops the shell, as it would over ssh. One whose network is gone does
not: the shell goes on, and the client gets what the log still has when it comes back, or else the screen
drawn anew.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final, Protocol

from migrated.terminal.output import LOG_BYTES, OutputLog
from migrated.terminal.shell import Shell

READ_MAX: Final = 64 * 1024
_LAST_READS: Final = 16
"""What a program left in the terminal is less; more comes from others, who may write for ever."""

KILL_AFTER_S: Final = 5.0
"""Seconds between SIGHUP and SIGKILL."""

ENDED_S: Final = 86_400.0
"""Seconds for which the last screen and the exit status of a program are kept for a client that was away."""


class Client(Protocol):
    """Who is attached to a terminal, as the terminal sees it."""

    @property
    def present(self) -> bool:
        """Whether its network is there."""

    @property
    def lags(self) -> bool:
        """Whether it is present and has so much to read that the shell has to wait."""

    def wake(self) -> None:
        """Say that there is output, or that the program has ended."""

    def send_away(self, reason: str) -> None:
        """Take the terminal away from it and tell it why."""


class Terminal:
    """A terminal that outlives its clients.

    Args:
        name: as its user calls it.
        program: what runs in it, for people.
        shell: the running program.
        size: rows and columns of the window.
        expire_s: how long it lives after its last client, in seconds.
        on_gone: called once, when the program has ended and nobody needs to hear of it any more.
        log_bytes: how much output is kept.
    """

    def __init__(
        self,
        *,
        name: str,
        program: str,
        shell: Shell,
        size: tuple[int, int],
        expire_s: float,
        on_gone: Callable[[Terminal], None],
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self.name = name
        self.program = program
        self.pid = shell.pid
        self.size = size
        self.log = OutputLog(log_bytes)
        self.status: int | None = None
        self.client: Client | None = None
        self.gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()
        self._shell = shell
        self._expire_s = expire_s
        self._on_gone = on_gone
        self._doomed = False
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(shell.exited, self._program_ended)
        self.adjust()

    @property
    def state(self) -> str:
        """One of ended, detached, suspended, attached."""
        if self.status is not None:
            return "ended"
        if self.client is None:
            return "detached"
        return "attached" if self.client.present else "suspended"

    def attach(self, client: Client) -> None:
        """Give the terminal to a client; the one that has it loses it."""
        previous, self.client = self.client, client
        if previous is not None:
            previous.send_away("attached elsewhere")
        self.client_changed()

    def client_left(self, client: Client, *, heard_the_end: bool) -> None:
        """Note that a client is gone for good; ``heard_the_end``: it knows the program's exit status."""
        if self.client is client:
            self.client = None
            self.client_changed()
            if heard_the_end:
                self._go()

    def client_changed(self) -> None:
        """Note that a client has come, gone, or lost or regained its network."""
        self.since = self._loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.client is None or not self.client.present:
            self._timer = self._loop.call_later(self._patience_s(), self._expire)
        self.adjust()

    def adjust(self) -> None:
        """Read from the shell, or let it wait, as the client's state demands."""
        wanted = self.status is None and not (self.client is not None and self.client.lags)
        if wanted and not self._reading:
            self._loop.add_reader(self._shell.master, self._output_is_there)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._shell.master)
        self._reading = wanted

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        self.size = rows, columns
        if self.status is None:
            self._shell.resize(rows, columns)

    async def type(self, data: bytes) -> None:
        """Write what a client typed, waiting while the program does not read."""
        rest = memoryview(data)
        while rest and self.status is None:
            try:
                rest = rest[os.write(self._shell.master, rest) :]
            except BlockingIOError:
                await self._until_writable()
            except OSError:  # EIO: nobody has the terminal open any more; its end is about to be reported
                return

    def end(self, reason: str) -> None:
        """End what runs in the terminal: SIGHUP, then SIGKILL; the client is told the reason."""
        self._doomed = True
        client, self.client = self.client, None
        if client is not None:
            client.send_away(reason)
        if self.status is not None:
            self._go()
            return
        self.adjust()
        self._shell.signal(signal.SIGHUP)
        self._shell.signal(signal.SIGCONT)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(KILL_AFTER_S, self._shell.signal, signal.SIGKILL)

    async def _until_writable(self) -> None:
        writable = asyncio.Event()
        master = self._shell.master
        self._loop.add_writer(master, writable.set)
        try:
            await writable.wait()
        finally:
            if self.status is None:
                self._loop.remove_writer(master)

    def _output_is_there(self) -> None:
        if self._read():
            self._tell_client()

    def _read(self) -> bool:
        """Move output to the log; return whether there was any."""
        try:
            data = os.read(self._shell.master, READ_MAX)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal open; the program may still run
            data = b""
        if not data:
            self._loop.remove_reader(self._shell.master)
            return False
        self.log.append(data)
        return True

    def _tell_client(self) -> None:
        if self.client is not None:
            self.client.wake()
        self.adjust()

    def _program_ended(self) -> None:
        self._loop.remove_reader(self._shell.exited)
        for _ in range(_LAST_READS):
            if not self._read():
                break
        status = self._shell.status()
        self._loop.remove_reader(self._shell.master)
        self._loop.remove_writer(self._shell.master)
        self._shell.close()
        self.status, self._reading = status, False
        if self._doomed:
            self._go()
            return
        self.client_changed()
        if self.client is not None:
            self.client.wake()

    def _patience_s(self) -> float:
        return self._expire_s if self.status is None else min(self._expire_s, ENDED_S)

    def _expire(self) -> None:
        self.end("expired: no client for too long")

    def _go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.gone.is_set():
            self.gone.set()
            self._on_gone(self)
