"""What the `when`s of a policy ask: comparisons, in pairs, each pair with its times.

Source: "Conditions that change" in ``docs/semantics.md``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from monitors.facts import FactValue, Subject
from policylang.ast import Measure, Threshold, When

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "=": operator.eq,
        "!=": operator.ne,
    }
)

OF_POINTS = frozenset({Subject.LINK, Subject.PATH})
"""Subjects whose conditions are judged for each attachment point; all others for the session as a whole."""


class Comparison(NamedTuple):
    """``FACT OP VALUE``, the value in the fact's own unit."""

    fact: str
    operator: str
    value: FactValue

    def holds(self, measured: FactValue | None) -> bool:
        """Return whether a value compares so. What is not known or of another type never does."""
        if measured is None:
            return False
        alike = all(isinstance(measured, t) is isinstance(self.value, t) for t in (bool, str))
        return alike and _OPERATORS[self.operator](measured, self.value)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What one `when` says, and all that say the same: ``start`` and ``stop`` with their times in seconds."""

    number: int
    start_hold_s: float
    stop_hold_s: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two comparisons that share their clocks, and the triggers made of them.

    Attributes:
        number: Which pair of the policy it is.
        kind: What both facts are about, as the first part of a `Key`.
        start: What turns the triggers on.
        stop: What turns them off again; ``None``: that ``start`` holds no longer.
        triggers: The triggers, which differ in their times.
    """

    number: int
    kind: str
    start: Comparison
    stop: Comparison | None
    triggers: list[Trigger]

    @property
    def comparisons(self) -> tuple[str, Comparison, Comparison | None]:
        """Return what makes two pairs of different policies the same."""
        return (self.kind, self.start, self.stop)


class TriggerTable:
    """Hold the triggers of a policy by number, and the pairs that they are made of."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.pair_of: list[Pair] = []
        self.subjects: dict[str, Subject] = {}
        self._pairs: dict[tuple[str, Comparison, Comparison | None], Pair] = {}
        self._numbers: dict[tuple[int, float, float], int] = {}

    def add(self, when: When) -> int:
        """Return the number of the trigger of a `when`; those that say the same have the same."""
        pair = self._pair(when)
        stop_hold_s = when.until.hold_s if when.until else 0.0
        key = (pair.number, when.threshold.hold_s, stop_hold_s)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.pair_of)
            pair.triggers.append(Trigger(number, when.threshold.hold_s, stop_hold_s))
            self.pair_of.append(pair)
        return number

    def subject_of(self, number: int) -> Subject:
        """Return what the facts of a trigger are about."""
        return Subject(self.pair_of[number].kind)

    def by_fact(self) -> dict[str, list[Pair]]:
        """Return the pairs that a fact is in, by the fact's name."""
        found: dict[str, list[Pair]] = {}
        for pair in self.pairs:
            for fact in dict.fromkeys(c.fact for c in (pair.start, pair.stop) if c):
                found.setdefault(fact, []).append(pair)
        return found

    def _pair(self, when: When) -> Pair:
        subject = when.threshold.subject
        assert subject is not None, "the checker says what a threshold is about"
        start = _comparison(when.threshold)
        stop = _comparison(when.until) if when.until else None
        key = (subject.value, start, stop)
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = Pair(len(self.pairs), subject.value, start, stop, [])
            self.pairs.append(pair)
            self.subjects |= {c.fact: subject for c in (start, stop) if c}
        return pair


def _comparison(threshold: Threshold) -> Comparison:
    assert isinstance(threshold.value, Measure), "the checker resolves what a fact is compared with"
    return Comparison(threshold.fact, threshold.operator, threshold.value.value)
