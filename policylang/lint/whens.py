"""Rules about `when`: pairs that never turn on, values that a fact never has, and facts known too late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf
from types import MappingProxyType

from monitors.facts import (
    ADDRESSES,
    BATTERY,
    COST,
    DATA_USED,
    FLAPS,
    HOUR,
    KEEPALIVE_AGE,
    LOSS,
    OUTAGES,
    PEER_SILENCE,
    RETRANSMITS,
    RTO,
    RTT,
    THROUGHPUT,
    Subject,
)
from policylang.ast import Adopt, Span, Threshold, When
from policylang.lint.layout import Path
from policylang.lint.material import Finding, Material
from policylang.lint.thresholds import holds, implies, samples

_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        HOUR.name: (0, 23),
        BATTERY.name: (0, 100),
        LOSS.name: (0, 100),
        **{
            fact.name: (0, inf)
            for fact in (
                ADDRESSES,
                COST,
                DATA_USED,
                FLAPS,
                KEEPALIVE_AGE,
                OUTAGES,
                PEER_SILENCE,
                RETRANSMITS,
                RTO,
                RTT,
                THROUGHPUT,
            )
        },
    }
)
"""The lowest and the highest value that a fact can have, where its definition says so."""

_OF_SESSIONS = frozenset({Subject.SESSION, Subject.CONNECTION})


def never_turns_on(material: Material) -> Iterator[Finding]:
    """Find pairs of thresholds of which the lower holds whenever the upper does."""
    for placed in material.layout.heads:
        when = placed.head
        if isinstance(when, When) and when.until is not None and implies(when.threshold, when.until):
            yield Finding(
                span=when.until.span,
                message=f"this holds whenever {material.words(_comparison(when.threshold))} does:"
                " the `when` never turns on",
                hint="the two must leave a gap: `when rtt > 300ms until rtt < 200ms`",
            )


def impossible_value(material: Material) -> Iterator[Finding]:
    """Find comparisons that no value of their fact satisfies."""
    for placed in material.layout.heads:
        if not isinstance(placed.head, When):
            continue
        for threshold in filter(None, (placed.head.threshold, placed.head.until)):
            if _impossible(threshold):
                low, high = _BOUNDS[threshold.fact]
                bounds = f"from {low:g} to {high:g}" if high < inf else "never negative"
                yield Finding(
                    span=_comparison(threshold),
                    message=f"{material.words(_comparison(threshold))} never holds",
                    hint=f"`{threshold.fact}` is {bounds}",
                )


def adopt_too_early(material: Material) -> Iterator[Finding]:
    """Find `adopt` that depends on what is known only of connections that are sessions already."""
    for placed in material.layout.leaves:
        fact = _fact_of_session(placed.path) if isinstance(placed.leaf, Adopt) else None
        if fact:
            yield Finding(
                span=placed.span,
                message=f"this never applies: `{fact}` is known of sessions, and whether a connection"
                " becomes one is asked before",
                hint="take it out of the `when`",
            )


def _impossible(threshold: Threshold) -> bool:
    bounds = _BOUNDS.get(threshold.fact)
    if bounds is None:
        return False
    low, high = bounds
    values = {low, high, *(float(value) for value in samples([threshold]))}
    return not any(holds(threshold, value) for value in values if low <= value <= high)


def _comparison(threshold: Threshold) -> Span:
    """Return the place of a comparison without its `for`."""
    end = threshold.value.span
    return replace(threshold.span, end_line=end.end_line, end_column=end.end_column)


def _fact_of_session(path: Path) -> str | None:
    """Return the fact about sessions or connections that must have turned a `when` on to get here."""
    for step in path:
        if isinstance(step.head, When) and step.body and step.head.threshold.subject in _OF_SESSIONS:
            return step.head.threshold.fact
    return None
