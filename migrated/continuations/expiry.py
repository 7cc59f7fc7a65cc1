"""When a suspended session is given up: what the policy says, and whose time has come.

Within one layer of policy the last `expire` that applies holds; across those of system, user and
application the shortest does, so that nobody keeps sessions longer than the others grant. The shipped policy
holds only where no other says anything: it is a default, no limit.

Source: the Migrate paper, section IV-C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import heappop, heappush

from policylang.ast import ExpireRule


def expire_s(rules: Sequence[ExpireRule]) -> float | None:
    """Return after how many seconds of suspension a session is given up; ``None`` for never.

    Args:
        rules: what `Engine.expire_rules` returns: those that hold, one of a layer.
    """
    shortest = min((math.inf if r.after_s is None else r.after_s for r in rules), default=math.inf)
    return None if shortest == math.inf else shortest


class Expiries:
    """Hold when each suspended session is given up. All times are seconds of one clock, the caller's."""

    def __init__(self) -> None:
        self._at: dict[bytes, float] = {}
        # Entries of sessions that were set anew or forgotten stay in the heap until they come up.
        self._heap: list[tuple[float, bytes]] = []

    def set(self, session_id: bytes, at: float | None) -> None:
        """Take in that a session is given up at ``at``, or never; what was said of it before is forgotten."""
        self.forget(session_id)
        if at is not None:
            self._at[session_id] = at
            heappush(self._heap, (at, session_id))

    def forget(self, session_id: bytes) -> None:
        """Forget a session that has resumed or ended."""
        self._at.pop(session_id, None)
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = sorted((at, session) for session, at in self._at.items())

    def next_deadline(self) -> float | None:
        """Return when `expired` should be asked next."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def expired(self, now: float) -> tuple[bytes, ...]:
        """Return the sessions whose time has come, the longest overdue first, and forget them."""
        found: list[bytes] = []
        while (due := self.next_deadline()) is not None and due <= now:
            _, session_id = heappop(self._heap)
            del self._at[session_id]
            found.append(session_id)
        return tuple(found)

    def _drop_stale(self) -> None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
