"""Rules about the values of `on`: host bits, values that others cover, and lists that overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from policylang.ast import (
    Condition,
    Glob,
    Name,
    NumberRange,
    On,
    Prefix,
    ScoreEffect,
    ScoreInterface,
    ScoreServer,
    Span,
    Value,
    When,
)
from policylang.cells import meaning
from policylang.globs import ANY_NAME, Alphabet, pattern_text
from policylang.lint.layout import PlacedHead, without_places
from policylang.lint.material import Finding, Material
from policylang.lint.patterns import glob_covers, may_meet
from policylang.values import host_name

MAX_LISTED = 256
"""Longest list whose values are compared with each other, and most lists side by side that are."""

_PATHS = Alphabet(paths=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Listing:
    """The values of one condition of an `on`; lists of equal ``beside`` differ in their values alone."""

    placed: PlacedHead
    on: On
    condition: Condition
    beside: object


def host_bits(material: Material) -> Iterator[Finding]:
    """Find prefixes whose address has bits beyond the prefix's length."""
    for condition in _conditions(material):
        for value in condition.values:
            if isinstance(value, Prefix) and _has_host_bits(value):
                meant = str(value.network)
                yield Finding(
                    span=value.span,
                    message=f"`{value.text}` has host bits set: it means `{meant}`",
                    hint=f"write `{meant}`, or the address alone if only that host is meant",
                    replacement=meant,
                )


def covered_value(material: Material) -> Iterator[Finding]:
    """Find values of a list that another value of the list covers."""
    for condition in _conditions(material):
        listed = [value for value in condition.values if _within(value.span, condition.span)]
        if not 1 < len(listed) <= MAX_LISTED:
            continue
        for at, value in enumerate(listed):
            by = next(
                (o for i, o in enumerate(listed) if _makes_needless(condition.key, o, value, i < at)), None
            )
            if by is not None:
                yield Finding(
                    span=value.span,
                    message=f"{material.words(value.span)} adds nothing: {material.words(by.span)} covers it",
                    hint="take it out",
                )


def overlap(material: Material) -> Iterator[Finding]:
    """Find `on`s side by side whose values overlap in part and whose bodies disagree there."""
    groups: dict[object, list[_Listing]] = defaultdict(list)
    for placed in material.layout.heads:
        if not material.reach.dead(placed.path):
            for listing in _listings(placed):
                groups[listing.beside].append(listing)
    for listings in groups.values():
        for at, later in enumerate(listings[:MAX_LISTED]):
            earlier = next((e for e in listings[:at] if _clash(material, e, later)), None)
            if earlier is not None:
                yield _overlapping(material, earlier.placed, later.placed)


def _overlapping(material: Material, earlier: PlacedHead, later: PlacedHead) -> Finding:
    return Finding(
        span=later.span,
        message=f"this overlaps in part with {material.words(earlier.span)} at {earlier.span},"
        " and the two disagree about what they share",
        hint="make the values disjoint, or one list a part of the other",
    )


def _conditions(material: Material) -> Iterator[Condition]:
    for placed in material.layout.heads:
        if isinstance(placed.head, On):
            yield from placed.head.conditions


def _has_host_bits(prefix: Prefix) -> bool:
    return ip_address(prefix.text.partition("/")[0]) != prefix.network.network_address


def _within(inner: Span, outer: Span) -> bool:
    """Return whether a value is written in its condition, and not in a set."""
    begin, end = (outer.line, outer.column), (outer.end_line, outer.end_column)
    return inner.file == outer.file and begin <= (inner.line, inner.column) < end


def _makes_needless(key: str, wide: Value, narrow: Value, earlier: bool) -> bool:
    """Return whether one value of a list covers another; of two that are equal the later is needless."""
    if wide is narrow or getattr(wide, "text", "") == getattr(narrow, "text", ""):
        return False  # the checker warns of a word that is written twice
    if not _covers(key, wide, narrow):
        return False
    return earlier or not _covers(key, narrow, wide)


def _covers(key: str, wide: Value, narrow: Value) -> bool:
    match wide, narrow:
        case NumberRange(), NumberRange():
            return wide.low <= narrow.low and narrow.high <= wide.high
        case Prefix(), Prefix():
            a, b = wide.network, narrow.network
            return a.version == b.version and b.prefixlen >= a.prefixlen and b.network_address in a
        case Glob() | Name(), Glob() | Name():
            texts = _pattern(key, wide), _pattern(key, narrow)
            return glob_covers(*texts, alphabet=_PATHS if key == "app" else ANY_NAME)
    return False


def _pattern(key: str, value: Glob | Name) -> str:
    text = pattern_text(value)
    return host_name(text) if key == "remote-host" else text


def _listings(placed: PlacedHead) -> Iterator[_Listing]:
    """Yield each list of values of an `on`, unless it stands after `not`."""
    on = placed.head
    if not isinstance(on, On):
        return
    where = (placed.path[-1].number, placed.path[-1].body) if placed.path else None
    for condition in on.conditions:
        if not condition.negated:
            others = frozenset(_asked(other) for other in on.conditions if other is not condition)
            beside = (where, placed.span.file, condition.key, others)
            yield _Listing(placed=placed, on=on, condition=condition, beside=beside)


def _clash(material: Material, earlier: _Listing, later: _Listing) -> bool:
    """Return whether two lists share values in part, and the bodies of their `on`s disagree."""
    pairs = ((a, b) for a in earlier.condition.values for b in later.condition.values)
    if not any(_straddle(a, b) for a, b in pairs):
        return False
    first, second = (material.reach.where(listing.condition) for listing in (earlier, later))
    if first <= second or second <= first:
        return False  # an exception, or what another rule finds
    return any(_disagree(x, y) for x in earlier.on.body for y in later.on.body)


def _asked(condition: Condition) -> object:
    return condition.key, condition.negated, meaning(condition.values)


def _straddle(first: Value, second: Value) -> bool:
    """Return whether two values are the same, or ranges that overlap without one being in the other."""
    match first, second:
        case NumberRange(), NumberRange():
            low, high = sorted(((first.low, first.high), (second.low, second.high)))
            return low == high or low[0] < high[0] <= low[1] < high[1]
    return meaning((first,)) == meaning((second,))


def _disagree(first: object, second: object) -> bool:
    """Return whether two statements say different things about what both are about."""
    if type(first) is not type(second) or isinstance(first, On | When):
        return False
    for kind in (ScoreInterface, ScoreServer):
        if isinstance(first, kind) and isinstance(second, kind):
            sets = first.effect is second.effect is ScoreEffect.SET
            return sets and first.amount != second.amount and may_meet(first, second)
    return without_places(first) != without_places(second)
