"""A feed that a test plays by hand."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from monitors.messages import Change


class FakeFeed:
    """Hand out what ``put`` is given. ``deadlines`` are those that the monitor asked for."""

    def __init__(self) -> None:
        self._changes: asyncio.Queue[tuple[Change, ...]] = asyncio.Queue()
        self.deadlines: list[float | None] = []
        self.open = 0

    async def __aenter__(self) -> Self:
        self.open += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.open -= 1

    def put(self, *changes: Change) -> None:
        self._changes.put_nowait(changes)

    async def receive(self, deadline: float | None = None) -> tuple[Change, ...]:
        self.deadlines.append(deadline)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._changes.get()
        except TimeoutError:
            return ()
