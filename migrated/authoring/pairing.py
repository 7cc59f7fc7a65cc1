"""Decisions of then and of now, brought together while a log streams by."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from migrated.recording.entries import DecisionGiven

TOLERANCE_S: Final = 2.0
"""How far apart two equal decisions may be and count as one: a daemon with much to do is called late."""

Mark = Literal["=", "+", "-"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A decision in a replay.

    Attributes:
        mark: `=` given then and now, `+` given only now, `-` given only then.
        decision: What is decided, with both times and the reasons: of now, or for `-` of then.
    """

    mark: Mark
    decision: DecisionGiven


@dataclass(slots=True)
class _Row:
    """A decision that waits for its like; ``mark`` is that which it has if none comes."""

    mark: Mark
    decision: DecisionGiven
    matched: bool = False


@dataclass(slots=True)
class Pairs:
    """Bring decisions of then and of now together, and give them out in the order of time."""

    _rows: deque[_Row] = field(default_factory=deque)
    _waiting: dict[tuple[object, ...], deque[_Row]] = field(default_factory=dict)

    def add(self, mark: Literal["+", "-"], decision: DecisionGiven) -> None:
        """Take a decision in, and join it with the oldest of the other kind that is the same."""
        alike = self._waiting.get(_key("-" if mark == "+" else "+", decision))
        if alike:
            self._join(alike[0], mark, decision)
            return
        row = _Row(mark, decision)
        self._rows.append(row)
        self._waiting.setdefault(_key(mark, decision), deque()).append(row)

    def ready(self, clock: float) -> Iterator[Replayed]:
        """Yield what is settled at this time."""
        while self._rows and (self._rows[0].matched or self._rows[0].decision.clock < clock - TOLERANCE_S):
            row = self._rows.popleft()
            if not row.matched:
                self._forget(row)
            yield Replayed(mark="=" if row.matched else row.mark, decision=row.decision)

    def _join(self, row: _Row, mark: Mark, decision: DecisionGiven) -> None:
        self._forget(row)
        row.matched = True
        if mark == "+":
            row.decision = decision

    def _forget(self, row: _Row) -> None:
        """Let a row wait no longer; it is the oldest of its kind."""
        key = _key(row.mark, row.decision)
        self._waiting[key].popleft()
        if not self._waiting[key]:
            del self._waiting[key]


def _key(mark: Mark, decision: DecisionGiven) -> tuple[object, ...]:
    """Return what decisions that count as one have in common, and the mark."""
    return (mark, decision.session, decision.action, decision.to)
