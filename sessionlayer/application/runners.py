"""Where the program's own code runs: in one thread of ours, or in its asyncio loop.

Either way handlers run one after another, and none is entered again before it has returned.
"""

from __future__ import annotations

import inspect
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from sessionlayer.application.errors import MigrateError
from sessionlayer.application.outcome import Outcome

if TYPE_CHECKING:
    import asyncio

    from sessionlayer.application.session import Session


class Runner(Protocol):
    """Runs steps in the program's context, in the order in which they come."""

    def call(self, step: Callable[[], None]) -> None:
        """Run a step of the library soon; it does not wait for anything."""

    def run(self, call: Callable[[], Any]) -> Outcome[Any]:
        """Run a callback of the program, now, as this is called from a step."""

    def invoke(self, function: Callable[..., Any], session: Session) -> None:
        """Let a function of the program go on with a session that has its connection back."""


class ThreadRunner:
    """Runs handlers in one background thread, and continuations in a thread each."""

    def __init__(self) -> None:
        self._steps: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def call(self, step: Callable[[], None]) -> None:
        """Run a step soon, in the handlers' thread, which is started by the first one."""
        self._steps.put(step)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="migrate-handlers", daemon=True)
                self._thread.start()

    def run(self, call: Callable[[], Any]) -> Outcome[Any]:
        """Run a callback and wait for it."""
        outcome: Outcome[Any] = Outcome()
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - a handler is a plugin: its failure is told, not ours
            outcome.fail(error)
            return outcome
        if inspect.iscoroutine(result):
            result.close()
            outcome.fail(
                MigrateError("an `async` handler needs a session of `aio_session`, in a running loop")
            )
        else:
            outcome.finish(result)
        return outcome

    def invoke(self, function: Callable[..., Any], session: Session) -> None:
        """Call ``function(session, connection)`` in a new thread, as it may serve for long."""
        name = f"migrate-{session.id.hex()[:8]}"
        threading.Thread(target=function, args=(session, session.connection), name=name).start()

    def _work(self) -> None:
        while True:
            self._steps.get()()


class LoopRunner:
    """Runs handlers and continuations, synchronous ones too, in an asyncio loop.

    Args:
        loop: that runs; by default the one that runs now.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        import asyncio

        self.loop = loop or asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, step: Callable[[], None]) -> None:
        """Run a step in the loop; a loop that is closed has no program any more."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(step)

    def run(self, call: Callable[[], Any]) -> Outcome[Any]:
        """Run a callback; a coroutine in a task of its own."""
        outcome: Outcome[Any] = Outcome()
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - a handler is a plugin: its failure is told, not ours
            outcome.fail(error)
            return outcome
        if inspect.isawaitable(result):
            self._start(_settle(outcome, result))
        else:
            outcome.finish(result)
        return outcome

    def invoke(self, function: Callable[..., Any], session: Session) -> None:
        """Call ``function(session, reader, writer)`` in a task of its own."""
        self._start(_go_on(function, session))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)


def runner_here(threads: ThreadRunner) -> Runner:
    """Return a runner of the loop that runs in this thread; ``threads`` where there is none."""
    return LoopRunner() if in_loop() else threads


def in_loop() -> bool:
    """Return whether an asyncio loop runs in this thread."""
    asyncio = sys.modules.get("asyncio")  # a program that has not imported it has no loop either
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def end_process() -> NoReturn:
    """End this process at once: nothing but its standard streams is flushed, nothing is cleaned up."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    os._exit(0)


def socket_of(descriptor: int) -> socket.socket:
    """Return the socket of a descriptor that is ours."""
    return socket.socket(fileno=descriptor)


async def _settle(outcome: Outcome[Any], work: Awaitable[Any]) -> None:
    try:
        outcome.finish(await work)
    except Exception as error:  # noqa: BLE001 - a handler is a plugin: its failure is told, not ours
        outcome.fail(error)


async def _go_on(function: Callable[..., Any], session: Session) -> None:
    reader, writer = await session.open()
    result = function(session, reader, writer)
    if inspect.isawaitable(result):
        await result
