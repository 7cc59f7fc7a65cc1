"""Which of several `when`s about one subject can be on at the same time, whatever was measured before.

Exact for conditions without `until`. For those with one, what must hold at the moment is asked,
and not whether there is a history in which all of them come to be so together; what is refused
can therefore never be, and what is allowed nearly always can.

Source: "Conditions that change" in ``docs/semantics.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from engine.comparisons import Comparison
from monitors.events import OperState
from monitors.facts import (
    ADDRESSES,
    CARRIER,
    FLAPS,
    HOUR,
    OPERSTATE,
    OUTAGES,
    RETRANSMITS,
    STANDARD_FACTS,
    FactValue,
    Subject,
)
from policylang.ast import Measure, Threshold, When

_WHOLE = frozenset({ADDRESSES.name, FLAPS.name, HOUR.name, OUTAGES.name, RETRANSMITS.name})
_LAST_HOUR = 23


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a `when` asks, wherever it is written: ``start`` for so long, until ``stop`` for so long."""

    subject: Subject
    start: Comparison
    start_hold_s: float
    stop: Comparison | None
    stop_hold_s: float

    @classmethod
    def of(cls, when: When) -> Trigger:
        """Return what the `when` of a checked policy asks."""
        subject, until = when.threshold.subject, when.until
        assert subject is not None, "the checker says what a threshold is about"
        stop = None if until is None else _comparison(until)
        return cls(
            subject, _comparison(when.threshold), when.threshold.hold_s, stop, until.hold_s if until else 0.0
        )

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Return one comparison or two."""
        return (self.start,) if self.stop is None else (self.start, self.stop)


def _comparison(threshold: Threshold) -> Comparison:
    assert isinstance(threshold.value, Measure), "the checker resolves what a fact is compared with"
    return Comparison(threshold.fact, threshold.operator, threshold.value.value)


Assignment = frozenset[tuple[Trigger, bool]]
"""Of some triggers about one subject, which are on."""

Measured = Mapping[str, FactValue | None]


@lru_cache(maxsize=65_536)
def measured_for(assignment: Assignment) -> Measured | None:
    """Return values of facts with which the triggers can be as they are assigned, or ``None``: they can't.

    Facts of links are those of a link by which packets can leave.
    """
    asked: dict[str, set[Comparison]] = {}
    for trigger, _ in assignment:
        for comparison in trigger.comparisons:
            asked.setdefault(comparison.fact, set()).add(comparison)
    values = {fact: _values(fact, comparisons) for fact, comparisons in sorted(asked.items())}
    if not all(_has_a_past(assignment, trigger, on=on, values=values) for trigger, on in assignment):
        return None
    return _search(assignment, list(values), values, {})


def measured_for_some(assignment: Assignment) -> bool:
    """Return whether several connections of a session can be such that a trigger is on for one of them."""
    off = frozenset(item for item in assignment if not item[1])
    parts = [off | {item} for item in assignment if item[1]] or [off]
    return all(measured_for(part) is not None for part in parts)


def _search(
    assignment: Assignment,
    facts: Sequence[str],
    values: Mapping[str, Sequence[FactValue | None]],
    found: Measured,
) -> Measured | None:
    """Give the facts values one after the other, and go back where a trigger can't be as it is assigned."""
    if not facts:
        return found
    fact, *others = facts
    for value in values[fact]:
        if not _possible_now(fact, value):
            continue
        with_it = {**found, fact: value}
        settled = (
            (trigger, on)
            for trigger, on in assignment
            if any(c.fact == fact for c in trigger.comparisons)
            and all(c.fact in with_it for c in trigger.comparisons)
        )
        if all(_fits(trigger, on=on, measured=with_it) for trigger, on in settled):
            result = _search(assignment, others, values, with_it)
            if result is not None:
                return result
    return None


def _fits(trigger: Trigger, *, on: bool, measured: Measured) -> bool:
    """Return whether a trigger can be on, or off, at a moment at which the facts have these values."""
    value = measured[trigger.start.fact]
    starts = trigger.start.holds(value)
    if trigger.stop is None:
        return starts if on else not starts or trigger.start_hold_s > 0
    stops = trigger.stop.holds(measured[trigger.stop.fact])
    if on:
        return value is not None and (not stops or trigger.stop_hold_s > 0)
    return not starts or stops or trigger.start_hold_s > 0


def _has_a_past(
    assignment: Assignment,
    trigger: Trigger,
    *,
    on: bool,
    values: Mapping[str, Sequence[FactValue | None]],
) -> bool:
    """Return whether a trigger can have come to be on, or not, by what the others say of the past."""
    own = values[trigger.start.fact]
    if trigger.stop is not None:
        stop = trigger.stop
        apart = stop.fact != trigger.start.fact
        return not on or any(trigger.start.holds(v) and (apart or not stop.holds(v)) for v in own)
    if on or not trigger.start_hold_s:
        return True  # judged by the moment alone
    # The latest that its comparison may have failed is just within its time.
    # What has held for as long or longer held then too.
    held = [
        other.start
        for other, is_on in assignment
        if is_on
        and other.stop is None
        and other.start.fact == trigger.start.fact
        and other.start_hold_s >= trigger.start_hold_s
    ]
    return any(all(c.holds(v) for c in held) and not trigger.start.holds(v) for v in own)


def _possible_now(fact: str, value: FactValue | None) -> bool:
    """Return whether a link by which packets can leave may have this value."""
    if fact == CARRIER.name:
        return value is True
    if fact == OPERSTATE.name:
        return value in (OperState.UP.value, OperState.UNKNOWN.value)
    return fact != ADDRESSES.name or (isinstance(value, float) and value >= 1)


def _values(fact: str, comparisons: Iterable[Comparison]) -> list[FactValue | None]:
    """Return a value for each answer that these comparisons can give, known ones first."""
    known = [comparison.value for comparison in comparisons]
    texts = [value for value in known if isinstance(value, str)]
    if any(isinstance(value, bool) for value in known):
        return [True, False, None]
    if texts:
        declared = STANDARD_FACTS[fact].choices if fact in STANDARD_FACTS else ()
        return [*(declared or (*dict.fromkeys(texts), "".join(texts) + "?")), None]
    return [*_numbers(fact, sorted({float(value) for value in known})), None]


def _numbers(fact: str, limits: Sequence[float]) -> Sequence[float]:
    """Return a number below, between, above and at each of these limits, as far as the fact can have it."""
    if fact == HOUR.name:
        return [float(hour) for hour in range(_LAST_HOUR + 1)]
    if fact in _WHOLE:
        near = {float(math.floor(limit) + step) for limit in limits for step in (-1, 0, 1)}
        return sorted(number for number in near if number >= 0)
    between = [(low + high) / 2 for low, high in pairwise(limits)]
    below = limits[0] / 2 if limits[0] > 0 else limits[0] - 1
    return sorted({*limits, *between, below, limits[-1] + max(1.0, abs(limits[-1]))})
