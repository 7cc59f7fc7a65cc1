"""How long the steps of a monitor's tasks hold up its event loop."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from monitors.metering import Meter, Metered

_THREADS: Final = Path("/proc/self/task")

_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


class FairMeter(Meter):
    """A meter that blames a step neither for the first import of a module nor for waiting for a processor.

    Source: Documentation/scheduler/sched-stats.rst, ``/proc/<pid>/schedstat``.
    """

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count what is done inside as one step."""
        modules, before, began, spent = len(sys.modules), delays(), time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            lasted_s, spent_s = time.monotonic() - began, time.thread_time() - spent
            if len(sys.modules) == modules:
                self.longest_step_s = max(self.longest_step_s, spent_s, lasted_s - starved_s(before))
            self.steps += 1


def delays() -> dict[str, float]:
    """Return for how many seconds each thread of this process had no processor; nothing if nobody tells."""
    found = {}
    for schedule in _THREADS.glob("*/schedstat"):
        with suppress(OSError):  # the thread has ended
            found[schedule.parent.name] = int(schedule.read_bytes().split()[1]) / 1e9
    return found


def starved_s(before: Mapping[str, float]) -> float:
    """Return for how long one thread had no processor at most since `delays` said ``before``, in seconds.

    Any thread may be it, since one without a processor may keep the interpreter from the others. The others'
    waits do not count: of threads that wait at the same time each would excuse the same time once more.
    """
    return max((delay - before.get(thread, 0.0) for thread, delay in delays().items()), default=0.0)


@contextmanager
def metering() -> Iterator[None]:
    """Have the loop count the steps of the tasks that `begin` begins, and of those that these begin.

    No garbage is collected by itself meanwhile: with all that a suite of tests keeps that can take a tenth of
    a second, for which the monitor would be blamed whose step it falls into.
    """
    loop = asyncio.get_running_loop()
    before, collecting = loop.get_task_factory(), gc.isenabled()
    loop.set_task_factory(_Factory(before))
    gc.disable()
    try:
        yield
    finally:
        loop.set_task_factory(before)
        if collecting:
            gc.enable()


def begin(work: Callable[[], Coroutine[Any, Any, None]], meter: Meter) -> asyncio.Task[None]:
    """Begin a task whose steps a meter counts. ``work`` is called in it, since a call may take long, too."""

    async def body() -> None:
        await work()

    token = _meter.set(meter)
    try:
        return asyncio.create_task(body())
    finally:
        _meter.reset(token)


class _Factory:
    """Make the loop's tasks as before, but those that belong to a meter with it."""

    def __init__(self, before: Callable[..., Any] | None) -> None:
        self._make = before or _plain

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Any,  # noqa: ANN401 - asyncio's own
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        meter = _meter.get()
        return self._make(loop, coroutine if meter is None else Metered(coroutine, meter), **options)


def _plain(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:  # noqa: ANN401
    return asyncio.Task(coroutine, loop=loop, **options)
