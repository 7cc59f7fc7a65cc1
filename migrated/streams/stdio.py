"""Standard input and output in a program that must not block.

Each has a thread that makes blocking calls: that works for terminals, pipes, sockets and files alike, and
leaves the descriptors as they are. Making them non-blocking would do so for every program that shares them.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Final, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

CHUNK: Final = 64 * 1024
"""Bytes of one read: what a pipe holds."""


class _Caller(Generic[T, U]):
    """Make one blocking call after the other in a thread that does not keep the program from ending."""

    def __init__(self, function: Callable[[T], U], name: str) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[T, asyncio.Future[U]]] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    async def __call__(self, argument: T) -> U:
        future: asyncio.Future[U] = self._loop.create_future()
        self._jobs.put((argument, future))
        return await future

    def _work(self) -> None:
        while True:
            argument, future = self._jobs.get()
            try:
                result = self._function(argument)
            except OSError as error:
                self._tell(_set_exception, future, error)
            else:
                self._tell(_set_result, future, result)

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


class Input:
    """A descriptor to read from, by default standard input."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._call = _Caller(self._read, "standard input")

    async def read(self) -> bytes:
        """Return what there is, nothing at its end.

        Raises:
            OSError: it can't be read.
        """
        return await self._call(CHUNK)

    def _read(self, most: int) -> bytes:
        while True:
            try:
                return os.read(self._descriptor, most)
            except BlockingIOError:  # somebody else has made it non-blocking
                select.select([self._descriptor], [], [])


class Output:
    """A descriptor to write to, by default standard output."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._call = _Caller(self._write, "standard output")

    async def write(self, data: bytes) -> None:
        """Write all of it; returns when the kernel has it.

        Raises:
            OSError: nobody reads it any more, or it can't be written.
        """
        await self._call(data)

    def end(self) -> None:
        """Let whoever reads it see its end; the descriptor stays taken, lest another file gets its number."""
        if stat.S_ISSOCK(os.fstat(self._descriptor).st_mode):  # maybe the one that is standard input
            with socket.socket(fileno=os.dup(self._descriptor)) as sock, suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nothing, self._descriptor)
        os.close(nothing)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])


def nobody_there(source: int = 0, target: int = 1) -> bool:
    """Return whether nobody writes to standard input and reads standard output any more.

    Source: poll(2): an end of a pipe or socket whose other end is closed reports it unasked.
    """
    poll = select.poll()
    poll.register(source, select.POLLRDHUP)
    poll.register(target, 0)
    closed = {descriptor for descriptor, _ in poll.poll(0)}
    return source in closed and (target in closed or _is_nothing(target))


def _is_nothing(descriptor: int) -> bool:
    return os.fstat(descriptor).st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116 - fstat's counterpart


def _set_result(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[T], error: OSError) -> None:
    if not future.done():
        future.set_exception(error)
