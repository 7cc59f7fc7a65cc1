"""Conditions and durations in the words of a policy."""

from __future__ import annotations

from policylang.ast import Measure, Threshold, When


def condition(when: When) -> str:
    """Return what a `when` asks: ``rtt > 300ms for 5s until rtt < 200ms``."""
    text = _threshold(when.threshold)
    return text if when.until is None else f"{text} until {_threshold(when.until)}"


def duration(seconds: float) -> str:
    """Return a number of seconds as a policy would say it."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.12g}{unit}"
    return f"{seconds * 1000:.12g}ms" if 0 < seconds < 1 else f"{seconds:.12g}s"


def _threshold(threshold: Threshold) -> str:
    assert isinstance(threshold.value, Measure), "the checker resolves what a fact is compared with"
    text = f"{threshold.fact} {threshold.operator} {threshold.value.text}"
    return f"{text} for {duration(threshold.hold_s)}" if threshold.hold_s else text
