"""What will come of a request: waited for by threads, awaited by coroutines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Event

T = TypeVar("T")
U = TypeVar("U")


class Outcome(Generic[T]):
    """A result that comes later, from another thread.

    A small future: ``concurrent.futures`` and ``asyncio`` take longer to import than a continued process may
    take to start.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._callbacks: list[Callable[[], None]] = []
        self._value: T
        self._error: BaseException | None = None

    @classmethod
    def of(cls, value: T) -> Outcome[T]:
        """Return an outcome that is there already."""
        outcome = cls()
        outcome.finish(value)
        return outcome

    @property
    def done(self) -> bool:
        """Return whether the result or an error is there."""
        return self._done.is_set()

    @property
    def error(self) -> BaseException | None:
        """Return the error, if there is one by now."""
        return self._error

    def finish(self, value: T) -> None:
        """Give the result. Only the first result or error counts."""
        self._settle(value, None)

    def fail(self, error: BaseException) -> None:
        """Give an error. Only the first result or error counts."""
        self._settle(None, error)

    def result(self, timeout_s: float | None = None) -> T:
        """Wait for the result; it may be asked for again.

        Raises:
            TimeoutError: it has not come within ``timeout_s``.
            MigrateError: what the request has failed with.
        """
        if not self._done.wait(timeout_s):
            raise TimeoutError(f"no answer within {timeout_s:g} s")
        if self._error is not None:
            raise self._error
        return self._value

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, from the thread that settles this; now if that has happened."""
        with self._lock:
            if not self._done.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def then(self, step: Callable[[T], U]) -> Outcome[U]:
        """Return what ``step`` makes of the result; an error of this, or of ``step``, is an error of that."""
        following: Outcome[U] = Outcome()

        def advance() -> None:
            if self._error is not None:
                following.fail(self._error)
                return
            try:
                following.finish(step(self._value))
            except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
                following.fail(error)

        self.when_done(advance)
        return following

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio

        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        if not self.done:
            self.when_done(lambda: _wake(loop, woken))
            yield from woken.wait().__await__()
        return self.result(0)

    def _settle(self, value: T | None, error: BaseException | None) -> None:
        with self._lock:
            if self._done.is_set():
                return
            self._value, self._error = value, error  # type: ignore[assignment]
            self._done.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


def _wake(loop: AbstractEventLoop, woken: Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(woken.set)
