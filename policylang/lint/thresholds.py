"""What the thresholds of `when` say about each other.

A comparison is true or false over the values of its fact. Those only change at the values that are
compared with, so it is enough to look at these, between them and beyond them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf
from types import MappingProxyType
from typing import Any

from monitors.facts import FactValue, Subject
from policylang.ast import Measure, Threshold, When
from policylang.lint.layout import Path

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "=": operator.eq,
        "!=": operator.ne,
    }
)

_ANY_OTHER = "\0"
"""A text that no policy can compare with: the file would not be one."""

Trigger = tuple[object, ...]


def holds(threshold: Threshold, value: FactValue) -> bool:
    """Return whether a comparison is true of a value."""
    return _COMPARE[threshold.operator](value, measured(threshold))


def measured(threshold: Threshold) -> FactValue:
    """Return what a fact is compared with, in the fact's own unit."""
    assert isinstance(threshold.value, Measure)
    return threshold.value.value


def samples(thresholds: Iterable[Threshold]) -> list[FactValue]:
    """Return values of one fact among which every combination of these comparisons occurs."""
    compared = {measured(threshold) for threshold in thresholds}
    if all(isinstance(value, bool) for value in compared):
        return [False, True]
    if all(isinstance(value, str) for value in compared):
        return [*sorted(map(str, compared)), _ANY_OTHER]
    numbers = sorted(float(value) for value in compared)
    between = [(low + high) / 2 for low, high in pairwise(numbers)]
    return [-inf, *numbers, *between, inf]


def implies(first: Threshold, second: Threshold) -> bool:
    """Return whether the second comparison is true of the same fact whenever the first is."""
    if first.fact != second.fact:
        return False
    return all(holds(second, value) for value in samples((first, second)) if holds(first, value))


def trigger(when: When) -> Trigger:
    """Return what identifies a `when`: two that are equal are always on and off together."""
    first, until = when.threshold, when.until
    lower = () if until is None else (until.fact, until.operator, measured(until), until.hold_s)
    return first.fact, first.operator, measured(first), first.hold_s, *lower


def always_on(when: When, path: Path) -> bool:
    """Return whether a `when` is on wherever its statements are reached on this path."""
    taken = _taken(path, body=True)
    if any(trigger(other) == trigger(when) for other in taken):
        return True
    if when.until is not None:
        return False
    return any(
        other.until is None
        and other.threshold.hold_s >= when.threshold.hold_s
        and implies(other.threshold, when.threshold)
        for other in taken
    )


def never_on(when: When, path: Path) -> bool:
    """Return whether a `when` is off wherever it is reached on this path."""
    left = _taken(path, body=False)
    if any(trigger(other) == trigger(when) for other in left):
        return True
    if when.until is not None:
        return False  # it may have come on before the path was taken
    return any(_off_while(other, when) for other in left) or _excluded(when, path)


def _off_while(off: When, when: When) -> bool:
    """Return whether a `when` is off because one that demands less is."""
    return (
        off.until is None
        and when.threshold.hold_s >= off.threshold.hold_s
        and implies(when.threshold, off.threshold)
    )


def _excluded(when: When, path: Path) -> bool:
    """Return whether no value of the fact satisfies a `when` and those around it."""
    if when.threshold.subject is Subject.CONNECTION:
        return False  # one connection may satisfy the one, another the other
    around = [
        other.threshold
        for other in _taken(path, body=True)
        if other.until is None and other.threshold.fact == when.threshold.fact
    ]
    if not around:
        return False
    everything = [*around, when.threshold]
    return not any(all(holds(t, value) for t in everything) for value in samples(everything))


def _taken(path: Path, *, body: bool) -> Sequence[When]:
    """Return the `when`s of a path whose body, or whose `else`, it leads through."""
    return [step.head for step in path if step.body is body and isinstance(step.head, When)]
