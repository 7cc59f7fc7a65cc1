"""The asyncio loop that carries all stream sockets of this process, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

EXIT_WAIT_S = 10.0
"""Seconds that the end of the process may wait for what was written to reach the peers."""


class Lasting(Protocol):
    """A socket that is to be ended in an orderly way when the process ends."""

    def finish(self) -> Coroutine[Any, Any, None]:
        """End it once the peer has all that was written."""


class Background:
    """A running loop. It is started by the first call."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget the loop, as in a forked process, where nobody runs it."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: weakref.WeakSet[Lasting] = weakref.WeakSet()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine in the loop and wait for it; it is cancelled when the time is over.

        Raises:
            TimeoutError: it has taken longer than ``timeout_s``.
        """
        future = asyncio.run_coroutine_threadsafe(_within(work, timeout_s), self.loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, step: Callable[[], object]) -> None:
        """Run a step in the loop soon."""
        self.loop().call_soon_threadsafe(step)

    def finish_at_exit(self, item: Lasting) -> None:
        """Have an item ended in an orderly way at the end of the process, if it still lives then."""
        self._open.add(item)

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="migrate-streams", daemon=True).start()
                atexit.register(self._finish)
            return self._loop

    def _finish(self) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(item.finish() for item in tuple(self._open)), return_exceptions=True)

        try:
            self.run(all_of_them(), EXIT_WAIT_S)
        except TimeoutError:
            return  # the peer is away: what it lacks is lost with this process


async def _within(work: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
    async with asyncio.timeout(timeout_s):
        return await work


background = Background()


os.register_at_fork(after_in_child=background.begin_anew)
