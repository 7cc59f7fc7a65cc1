"""What a monitor costs: the processor time of its steps, and how long the longest of them held up its loop.

A step is what a coroutine does between two waits. It is the unit in which an event loop works, so a step that
lasts long is what delays everything else in the same loop.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, cast

_T = TypeVar("_T")


class Meter:
    """Add up the steps of one monitor's coroutines.

    Attributes:
        cost_s: Processor time of all steps, in seconds.
        longest_step_s: How long the longest step lasted, in seconds.
        steps: How many there were.
    """

    def __init__(self) -> None:
        self.cost_s = 0.0
        self.longest_step_s = 0.0
        self.steps = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count what is done inside as one step."""
        began, spent = time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            self.cost_s += time.thread_time() - spent
            self.longest_step_s = max(self.longest_step_s, time.monotonic() - began)
            self.steps += 1


class Metered(Coroutine[Any, Any, _T]):
    """A coroutine that does what another does, and has its steps measured.

    Args:
        inner: the coroutine.
        meter: counts its steps.
    """

    def __init__(self, inner: Coroutine[Any, Any, _T], meter: Meter) -> None:
        self._inner = inner
        self._meter = meter

    def __await__(self) -> Generator[Any, Any, _T]:
        return cast("Generator[Any, Any, _T]", self)  # `await` wants an iterator with `send` and `throw`

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the event loop and the coroutine exchange
        return self.send(None)

    def send(self, value: Any) -> Any:  # noqa: ANN401
        """Take the next step."""
        with self._meter.step():
            return self._inner.send(value)

    def throw(
        self,
        kind: Any,  # noqa: ANN401 - an exception, or the class of one
        value: Any = None,  # noqa: ANN401
        trace: TracebackType | None = None,
    ) -> Any:  # noqa: ANN401
        """Take the next step with an exception, as after a cancellation."""
        with self._meter.step():
            return self._inner.throw(kind if value is None else value)

    def close(self) -> None:
        """End the coroutine."""
        self._inner.close()
