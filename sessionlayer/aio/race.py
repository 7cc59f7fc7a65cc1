"""Connect over a network that may come back at any moment.

The kernel repeats a lost SYN after 1, 3, 7 s. A new attempt every second, or on a hint that the network is
back, finds a way sooner; the attempts before go on, for a path whose round trip is longer than that.

Source: RFC 8305, section 5 (attempts that overlap).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from sessionlayer.aio.sockets import Address, connect_tcp
from sessionlayer.streams.limits import CONNECT_TIMEOUT_S, RETRY_MAX_S


class Hint:
    """Something that can be given again and again, to all who wait for it at the time."""

    def __init__(self) -> None:
        self._given: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def give(self) -> None:
        """Wake all who wait."""
        given, self._given = self._given, asyncio.get_running_loop().create_future()
        given.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait for the next hint, no longer than ``seconds``."""
        await asyncio.wait({self._given}, timeout=seconds)

    @property
    def next(self) -> asyncio.Future[None]:
        """Return what is done when the next hint is given; not to be cancelled."""
        return self._given


async def race_to_connect(address: Address, hint: Hint) -> socket.socket:
    """Return the socket of the first attempt that succeeds.

    Raises:
        OSError: every attempt has failed.
        TimeoutError: none has succeeded in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CONNECT_TIMEOUT_S
    attempts = {loop.create_task(connect_tcp(*address))}
    try:
        while loop.time() < deadline:
            hinted = hint.next
            awaited: set[asyncio.Future[Any]] = {*attempts, hinted}
            await asyncio.wait(awaited, timeout=RETRY_MAX_S, return_when=asyncio.FIRST_COMPLETED)
            over = {attempt for attempt in attempts if attempt.done()}
            if winner := next((attempt for attempt in over if not attempt.exception()), None):
                attempts.discard(winner)
                return winner.result()
            attempts -= over
            if not attempts:
                over.pop().result()  # raises why
            if not over:
                attempts.add(loop.create_task(connect_tcp(*address)))
        raise TimeoutError(f"no connection within {CONNECT_TIMEOUT_S:.0f} s")
    finally:
        for attempt in attempts:
            _forget(attempt)


def _forget(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancel() and not attempt.exception():
        attempt.result().close()
