"""What ``asyncio.to_thread`` uses in the event loop of a plugin.

The standard library's pool is joined when the process ends, however long that takes: a plugin that waits for
an answer in a thread, as it should, would keep the daemon from ending. The threads here are not waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

CALLS_LIMIT = 32
"""Calls that may be in progress at once, as in the standard library's pool on a large machine."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class UnjoinedExecutor(ThreadPoolExecutor):
    """Make each call in a daemon thread of its own. It is a pool because an event loop takes no other.

    Args:
        name: of the threads.
    """

    def __init__(self, name: str) -> None:
        super().__init__(max_workers=1)
        self._name = name
        self._room = threading.BoundedSemaphore(CALLS_LIMIT)

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Begin a call.

        Raises:
            RuntimeError: too many calls are in progress.
        """
        if not self._room.acquire(blocking=False):
            raise RuntimeError(f"{CALLS_LIMIT} calls are in threads already, and none of them ends")
        future: Future[_T] = Future()
        call = partial(fn, *args, **kwargs)
        threading.Thread(target=self._make, args=(call, future), name=self._name, daemon=True).start()
        return future

    def _make(self, call: Callable[[], _T], future: Future[_T]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is the caller's, as in the standard library's pool
            future.set_exception(error)
        finally:
            self._room.release()
