"""An event loop whose clock only moves when nothing else can: waiting for 30 days takes no time.

Nor does a busy machine: while a process is not let run, its clock stands.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

PATIENCE_S = 0.02
"""Real seconds that the network may take before the clock jumps to the next timer."""

GRAIN_S = 0.001
"""How far it jumps at least, as epoll(7) waits: timers that are close to each other are due together."""


class _Selector(selectors.DefaultSelector):
    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(PATIENCE_S if timeout is None else min(timeout, PATIENCE_S))
        if not ready and timeout:
            self.now += max(GRAIN_S, timeout)
        return ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._fake = _Selector(super().time())
        super().__init__(self._fake)

    def time(self) -> float:
        return self._fake.now


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        return runner.run(work)
