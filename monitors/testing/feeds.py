"""The kernel's news about links and addresses, as a test plays them."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Final, Self

from monitors.messages import Change

_DEADLINES_KEPT: Final = 100


class ScriptedFeed:
    """Stand in for `monitors.netlink.Feed`: hand out what a test puts in, in that order.

    ::

        feed = ScriptedFeed(Snapshot(links=(link,)))
        monitor = CarrierMonitor(lambda: feed)
        ...
        feed.put(LinkGone(interface="eth0", index=2))

    Args:
        first: what whoever opens it hears first, each time anew: as a rule a `Snapshot` of what there is.

    Attributes:
        first: The same; a test may change it.
        open: How often it is open now.
        deadlines: Until when its readers were ready to wait, the latest of them.
    """

    def __init__(self, *first: Change) -> None:
        self.first = first
        self.open = 0
        self.deadlines: deque[float | None] = deque(maxlen=_DEADLINES_KEPT)
        self._waiting: asyncio.Queue[tuple[Change, ...] | OSError] = asyncio.Queue()
        self._broken: OSError | None = None

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            OSError: it was broken off.
        """
        if self._broken is not None:
            raise self._broken
        self.open += 1
        if self.first:
            self._waiting = asyncio.Queue()  # who opens it anew hears nothing old
            self.put(*self.first)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.open -= 1

    def put(self, *changes: Change) -> None:
        """Have its reader hear of changes that happen at once."""
        self._waiting.put_nowait(changes)

    def break_off(self, error: OSError) -> None:
        """Have its reader fail, and everybody who opens it, until `mend`."""
        self._broken = error
        self._waiting.put_nowait(error)

    def mend(self) -> None:
        """Let it be opened again."""
        self._broken = None

    async def receive(self, deadline: float | None = None) -> tuple[Change, ...]:
        """Return the next changes, or nothing if the event loop's clock passes ``deadline`` (seconds).

        Raises:
            OSError: it was broken off.
        """
        self.deadlines.append(deadline)
        try:
            async with asyncio.timeout_at(deadline):
                news = await self._waiting.get()
        except TimeoutError:
            return ()
        if isinstance(news, OSError):
            raise news
        return news
