"""Run a program's coroutine until it ends or a signal tells it to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(program: Coroutine[Any, Any, int]) -> int:
    """Run a program to its end, and return its exit status.

    A signal that asks it to end cancels it; if it then has no exit status of its own, the status is 128 and
    the signal's number, as shells have it.

    Raises:
        Exception: whatever the program raises.
    """
    return asyncio.run(_run(program))


async def _run(program: Coroutine[Any, Any, int]) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(program)
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        task.cancel()

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores SIGHUP on purpose
            loop.add_signal_handler(number, ask, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not asked:
            raise
        return 128 + asked[0]
