"""Load what others wrote without waiting for ever: each plugin in a thread, all of them within one limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from monitors.isolation import StuckError, interrupt

LOAD_LIMIT_S = 5.0
"""How long all plugins together may take to load, in seconds."""

_INTERRUPT_LIMIT_S = 0.05
_TRY_AGAIN_S = 0.001
"""A call that waits for a lock can't be interrupted just then; one that never rests can a moment later."""

_T = TypeVar("_T")


class LoadTimeoutError(Exception):
    """A plugin did not load in time; it goes on being ignored."""


def call_all(calls: Sequence[Callable[[], _T]], limit_s: float) -> list[_T | BaseException]:
    """Make calls at the same time and return what each returned or raised, in the order of the calls.

    A call that lasts too long raised a `LoadTimeoutError` as far as the caller can see. It is interrupted,
    and left behind if that doesn't help.

    Args:
        calls: what to call, each in a thread of its own.
        limit_s: how long to wait for all of them, in seconds.
    """
    deadline = time.monotonic() + limit_s
    begun = [_Call(call) for call in calls]
    return [call.outcome(deadline, limit_s) for call in begun]


class _Call(Generic[_T]):
    def __init__(self, call: Callable[[], _T]) -> None:
        self._outcomes: list[_T | BaseException] = []
        self._thread = threading.Thread(target=self._make, args=(call,), name="loading a plugin", daemon=True)
        self._thread.start()

    def _make(self, call: Callable[[], _T]) -> None:
        with suppress(StuckError):  # an interruption that came too late
            try:
                self._outcomes.append(call())
            except BaseException as error:  # noqa: BLE001 - the isolation of a plugin
                self._outcomes.append(error)

    def outcome(self, deadline: float, limit_s: float) -> _T | BaseException:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if not self._outcomes:
            self._interrupt(deadline + _INTERRUPT_LIMIT_S)
            return LoadTimeoutError(f"it did not load within {limit_s:g} s")
        return self._outcomes[0]

    def _interrupt(self, until: float) -> None:
        while not interrupt(self._thread) and time.monotonic() < until:
            self._thread.join(_TRY_AGAIN_S)
