"""A ``report`` for tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from monitors.events import Event
from monitors.mailbox import MailboxFullError
from monitors.reporting import WRONG_THREAD


class Recorder:
    """A ``report`` that keeps what it was told, in the thread in which it was made.

    Args:
        refuse: whether it takes nothing, as a full mailbox does.

    Attributes:
        events: What it took, in order.
        calls: How often it was called.
        faults: What was wrong with what it was told, or with the thread, each in a sentence.
    """

    def __init__(self, *, refuse: bool = False) -> None:
        self.events: list[Event] = []
        self.calls = 0
        self.faults: list[str] = []
        self._refuse = refuse
        self._changed = asyncio.Event()
        self._thread = threading.get_ident()

    def __call__(self, event: object) -> None:
        """Take an event.

        Raises:
            RuntimeError: it is called in another thread, which the daemon refuses.
            MailboxFullError: this recorder refuses everything.
        """
        if threading.get_ident() != self._thread:
            self.faults.append(WRONG_THREAD)
            raise RuntimeError(WRONG_THREAD)
        self.calls += 1
        self._changed.set()
        if not isinstance(event, Event):
            self.faults.append(f"it reported a `{type(event).__name__}`; report events of `monitors.events`")
        elif self._refuse:
            raise MailboxFullError("this recorder takes nothing")
        else:
            self.events.append(event)

    async def wait_for(
        self, wanted: Callable[[Event], bool], *, start: int = 0, timeout_s: float = 30.0
    ) -> Event:
        """Return the first event, already recorded or still to come, for which ``wanted`` is true.

        Args:
            wanted: decides about an event.
            start: how many of the recorded events to pass over.
            timeout_s: how long to wait, in seconds.

        Raises:
            TimeoutError: there was none within ``timeout_s`` seconds.
        """
        seen = start
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self.events)
                self._changed.clear()
                await self._changed.wait()
