"""What is to happen when: one time for each of many things, the earliest first."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

_SLACK = 64
"""Entries out of date that the heap may hold beside as many as are good, before it is made anew."""


class Agenda(Generic[T]):
    """Hold when each thing is due. All times are seconds on one clock, the caller's."""

    def __init__(self) -> None:
        self._at: dict[T, float] = {}
        # Entries of what was put off or taken out stay in the heap until they come up.
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def set(self, thing: T, at: float | None) -> None:
        """Take in when something is due; ``None`` takes it out."""
        if at is None:
            self._at.pop(thing, None)
        elif self._at.get(thing) != at:
            self._at[thing] = at
            self._count += 1
            heappush(self._heap, (at, self._count, thing))
        if len(self._heap) > 2 * len(self._at) + _SLACK:
            self._heap = [(at, number, thing) for number, (thing, at) in enumerate(self._at.items())]
            heapify(self._heap)

    def get(self, thing: T) -> float | None:
        """Return when something is due."""
        return self._at.get(thing)

    def next_deadline(self) -> float | None:
        """Return when the next thing is due."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> list[T]:
        """Take out and return all that is due at ``now``, the longest overdue first."""
        found: list[T] = []
        while (at := self.next_deadline()) is not None and at <= now:
            thing = heappop(self._heap)[2]
            del self._at[thing]
            found.append(thing)
        return found
