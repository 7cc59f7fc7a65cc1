"""An event loop whose clock only moves when nothing else can: waiting for 30 days takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

PATIENCE_S = 0.02
"""Real seconds that the network may take before the clock jumps to the next timer."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        patience = PATIENCE_S if timeout is None else min(timeout, PATIENCE_S)
        ready = super().select(patience)
        if not ready and timeout is not None:
            self.skipped += max(0.0, timeout - patience)
        return ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._fake = _Selector()
        super().__init__(self._fake)

    def time(self) -> float:
        return super().time() + self._fake.skipped


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        return runner.run(work)
