"""What a connection can be, key by key, cut into the cells that a set of conditions can tell apart.

Two values in one cell satisfy the same conditions, so that one of them, the witness, stands for all.
A set of values is a number with one bit for each cell.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from ipaddress import IPv4Address, IPv6Address, ip_network
from operator import or_

from policylang.ast import Glob, Name, NumberRange, Prefix, Value
from policylang.globs import ANY_NAME, Alphabet, names_of, pattern_text
from policylang.values import host_name

Values = tuple[Value, ...]
Span = tuple[int, int]  # two numbers, both included

MAX_PORT = 65535
_LIKELY_PORTS = (443, 22, 80, 8080, 40000)
_LIKELY_ADDRESSES = {
    4: ("192.0.2.1", "198.51.100.1", "203.0.113.1", "10.0.0.5"),
    6: ("2001:db8::1", "2001:db8:1::1"),
}
_LAST = {4: "255.255.255.255", 6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
_MAPPED = ip_network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one key.

    Attributes:
        witnesses: One value for each cell, as an author would write it; ``None`` is what nobody knows.
        masks: For each list of values that a condition asks for, the cells that satisfy it.
    """

    witnesses: tuple[str | None, ...]
    masks: Mapping[object, int]

    @property
    def all(self) -> int:
        """Return the set of all cells."""
        return (1 << len(self.witnesses)) - 1

    @property
    def known(self) -> int:
        """Return the set of the cells whose value somebody knows."""
        return sum(1 << i for i, witness in enumerate(self.witnesses) if witness is not None)

    def mask(self, values: Values) -> int:
        """Return the cells that have one of these values."""
        return self.masks[meaning(values)]

    def example(self, mask: int) -> str | None:
        """Return a value of a set that is not empty, one that is known if there is one."""
        return self.witnesses[first_of(mask & self.known or mask)]


def first_of(mask: int) -> int:
    """Return the number of the first cell of a set that is not empty."""
    return (mask & -mask).bit_length() - 1


def meaning(values: Values) -> object:
    """Return what a list of values asks for, wherever it is written."""
    return frozenset(_meaning(value) for value in values)


def _meaning(value: Value) -> object:
    match value:
        case NumberRange():
            return (value.low, value.high)
        case Prefix():
            return value.network
        case Glob() | Name():
            return pattern_text(value)
    raise AssertionError(f"{value.span}: a checked policy holds no sets")


def word_cells(words: Sequence[str], asked: Iterable[Values]) -> Cells:
    """Return the cells of a key that has only these values."""
    bits = {word: 1 << i for i, word in enumerate(words)}
    texts = {meaning(values): [v.text for v in values if isinstance(v, Name)] for values in asked}
    return Cells(tuple(words), {key: _union(bits[text] for text in found) for key, found in texts.items()})


def name_cells(
    asked: Iterable[Values],
    likely: Sequence[str],
    *,
    alphabet: Alphabet = ANY_NAME,
    unknown: bool = False,
    fold: bool = False,
) -> Cells:
    """Return the cells of a key whose values are names.

    Args:
        asked: What the conditions ask for.
        likely: Names that people would recognise.
        alphabet: What names are made of.
        unknown: Whether it may be that nobody knows; that is a cell of its own then.
        fold: Whether names are compared without case and without a dot at the end.

    Raises:
        TooComplexError: The patterns can't be compared within bounds.
    """
    texts = {meaning(values): [_pattern(value, fold) for value in values] for values in asked}
    patterns = sorted({text for found in texts.values() for text in found})
    number = {pattern: i for i, pattern in enumerate(patterns)}
    names = names_of(patterns, likely, alphabet)
    cells = _masks(range(len(patterns)), list(names))
    masks = {key: _union(cells[number[text]] for text in found) for key, found in texts.items()}
    return Cells((*names.values(), *((None,) if unknown else ())), masks)


def _pattern(value: Value, fold: bool) -> str:
    assert isinstance(value, Glob | Name)
    text = pattern_text(value)
    return host_name(text) if fold else text


def port_cells(asked: Iterable[Values]) -> Cells:
    """Return the cells of a key whose values are ports."""
    spans = {
        meaning(values): [(v.low, v.high) for v in values if isinstance(v, NumberRange)] for values in asked
    }
    found = _span_cells(spans, MAX_PORT, _LIKELY_PORTS)
    return Cells(tuple(str(port) for port in found.values()), _masks(spans, list(found)))


def address_cells(asked: Iterable[Values]) -> tuple[Cells, int]:
    """Return the cells of a key whose values are addresses, and which of them are of IPv4.

    An IPv6 address that stands for one of IPv4 is that one, so there are none such.
    """
    prefixes = {meaning(values): [v.network for v in values if isinstance(v, Prefix)] for values in asked}
    witnesses: list[str | None] = []
    signatures: list[frozenset[object]] = []
    for version, address in ((4, IPv4Address), (6, IPv6Address)):
        spans = {
            key: [(int(n[0]), int(n[-1])) for n in networks if n.version == version]
            for key, networks in prefixes.items()
        }
        if version == 6:
            spans[None] = [(int(_MAPPED[0]), int(_MAPPED[-1]))]
        likely = [int(address(text)) for text in _LIKELY_ADDRESSES[version]]
        found = _span_cells(spans, int(address(_LAST[version])), likely)
        kept = {signature: number for signature, number in found.items() if None not in signature}
        witnesses += [str(address(number)) for number in kept.values()]
        signatures += kept
        if version == 4:
            of_four = len(signatures)
    return Cells(tuple(witnesses), _masks(prefixes, signatures)), (1 << of_four) - 1


def _masks(asked: Iterable[object], signatures: Sequence[Collection[object]]) -> dict[object, int]:
    """Return the cells in whose signature each key is."""
    masks = dict.fromkeys(asked, 0)
    for i, signature in enumerate(signatures):
        for key in signature:
            if key in masks:
                masks[key] |= 1 << i
    return masks


def _span_cells(
    asked: Mapping[object, Sequence[Span]], last: int, likely: Sequence[int]
) -> dict[frozenset[object], int]:
    """Return every set of keys that a number up to ``last`` can satisfy alone, and such a number."""
    cuts = sorted(
        {0} | {c for spans in asked.values() for low, high in spans for c in (low, high + 1)} - {last + 1}
    )
    index = {cut: i for i, cut in enumerate(cuts)} | {last + 1: len(cuts)}
    holding: list[set[object]] = [set() for _ in cuts]
    for key, spans in asked.items():
        for low, high in spans:
            for i in range(index[low], index[high + 1]):
                holding[i].add(key)
    found: dict[frozenset[object], int] = {}
    for number in likely:
        if number <= last:
            found.setdefault(frozenset(holding[bisect_right(cuts, number) - 1]), number)
    for low, high, keys in zip(cuts, [*(cut - 1 for cut in cuts[1:]), last], holding, strict=True):
        found.setdefault(frozenset(keys), _nice(low, high))
    return found


def _nice(low: int, high: int) -> int:
    """Return a number of a range, and not the first of a prefix, which is rarely anybody's address."""
    return min(low + 1, high)


def _union(masks: Iterable[int]) -> int:
    return reduce(or_, masks, 0)
