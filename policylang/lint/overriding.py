"""Rules about statements that others undo or say already.

Statements are compared within a file: that a user's file overrides the system's, or a file those that
it includes, is what layers and includes are for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from policylang.ast import ExpireRule, ScoreEffect, ScoreInterface, ScoreServer
from policylang.lint.layout import Leaf, PlacedLeaf, without_places
from policylang.lint.material import Finding, Material
from policylang.lint.patterns import covers, may_meet
from policylang.lint.reach import Reach

MAX_COMPARED = 128
"""How many statements of its kind a statement is compared with: the nearest, and as many in no `on`."""

MAX_FORKS = 16
"""How many `on`s and `when`s with an `else` a statement is compared with, and statements in each way."""

_Scoring = ScoreInterface | ScoreServer
_Peers = Sequence[PlacedLeaf]
_Way = list[tuple[int, PlacedLeaf]]
"""Statements right in a body: their positions, and what they are if the body is read in any case."""


def shadowed(material: Material) -> Iterator[Finding]:
    """Find statements that a later one always overrides."""
    reach = material.reach
    for peers in _by_kind(material):
        forks = _forks(peers)
        for at, placed in enumerate(peers):
            found = next(((n,) for n in _later(peers, at) if _overrides(reach, peers[n], placed)), None)
            winners = found or _both_ways(reach, forks, placed)
            # Of two that say the same, the second is reported.
            if not winners or any(_said_already(reach, peers, n) is placed for n in winners):
                continue
            words = " or ".join(f"{material.words(peers[n].span)} at {peers[n].span}" for n in winners)
            yield Finding(
                span=placed.span,
                message=f"this has no effect: whenever it applies, {words} overrides it",
                hint="the last statement wins: take one of them out, or write the general one first",
            )


def repeated(material: Material) -> Iterator[Finding]:
    """Find statements that say what holds already."""
    for peers in _by_kind(material):
        for at, placed in enumerate(peers):
            said = _said_already(material.reach, peers, at)
            if said is not None:
                yield Finding(
                    span=placed.span,
                    message=f"this has no effect: {material.words(said.span)} at {said.span} says it already",
                    hint="take it out",
                )


def ruled_out(material: Material) -> Iterator[Finding]:
    """Find what is said of points that a `never` rules out wherever it applies."""
    for peers in _by_kind(material):
        nevers = [p for p in peers if _is_never(p.leaf)][:MAX_COMPARED]
        for placed in peers:
            if not isinstance(placed.leaf, _Scoring) or _is_never(placed.leaf):
                continue
            by = next(
                (n for n in nevers if _comparable(placed, n) and _wherever(material.reach, placed, n)), None
            )
            if by is not None:
                avoids = placed.leaf.effect is ScoreEffect.AVOID
                yield Finding(
                    span=placed.span,
                    message=f"this {'' if avoids else 'score '}counts for nothing:"
                    f" {material.words(by.span)} at {by.span} rules out what it is for",
                    hint=f"{'`avoid`' if avoids else 'a number'} doesn't lift `never`:"
                    " write the exception as `on ... else`",
                )


def _by_kind(material: Material) -> Iterator[_Peers]:
    """Yield the statements of each kind in the order of reading; none that is never read."""
    kinds: dict[object, list[PlacedLeaf]] = defaultdict(list)
    for placed in material.layout.leaves:
        if not material.reach.dead(placed.path):
            kinds[_kind(placed.leaf)].append(placed)
    yield from kinds.values()


def _kind(leaf: Leaf) -> object:
    return (ExpireRule, leaf.layer) if isinstance(leaf, ExpireRule) else type(leaf)


def _later(peers: _Peers, at: int) -> Iterator[int]:
    """Return the positions of the statements that one is compared with as its possible overriders."""
    near = at + 1 + MAX_COMPARED
    yield from range(at + 1, min(near, len(peers)))
    yield from islice((n for n in range(near, len(peers)) if not peers[n].path), MAX_COMPARED)


def _forks(peers: _Peers) -> Sequence[tuple[_Way, _Way]]:
    """Return the statements right in the body and the `else` of each `on` or `when`, where both have some."""
    ways: dict[int, tuple[_Way, _Way]] = defaultdict(lambda: ([], []))
    for at, placed in enumerate(peers):
        if placed.path:
            *before, step = placed.path
            ways[step.number][step.body].append((at, replace(placed, path=tuple(before))))
    return sorted((fork for fork in ways.values() if all(fork)), key=_end)


def _end(fork: tuple[_Way, _Way]) -> int:
    """Return where the reading of both ways has come to."""
    return max(way[-1][1].order for way in fork)


def _both_ways(reach: Reach, forks: Sequence[tuple[_Way, _Way]], placed: PlacedLeaf) -> Sequence[int]:
    """Return the positions of two statements, one of which overrides this one in any case; else nothing.

    Of a body and its `else` always exactly one is read.
    """
    first = bisect_right(forks, placed.order, key=_end)
    for fork in forks[first : first + MAX_FORKS]:
        winners = [n for way in fork for n in _overriding(reach, way, placed)]
        if len(winners) == len(fork):
            return sorted(winners)
    return ()


def _overriding(reach: Reach, way: _Way, placed: PlacedLeaf) -> Iterator[int]:
    """Yield the position of the first later statement that overrides this one, if there is one."""
    later = (pair for pair in way[-MAX_FORKS:] if pair[1].order > placed.order)
    yield from islice((n for n, other in later if _overrides(reach, other, placed)), 1)


def _comparable(first: PlacedLeaf, second: PlacedLeaf) -> bool:
    """Return whether two statements are of one file, and not one statement that is included twice."""
    return first.span.file == second.span.file and first.span != second.span


def _overrides(reach: Reach, later: PlacedLeaf, earlier: PlacedLeaf) -> bool:
    """Return whether a later statement leaves nothing of an earlier one of its kind."""
    if _stands(earlier.leaf) or not _replaces(later.leaf):
        return False
    return _wherever(reach, earlier, later)


def _said_already(reach: Reach, peers: _Peers, at: int) -> PlacedLeaf | None:
    """Return the statement before the one at this position that makes it needless, if there is one."""
    later = peers[at]
    for earlier in reversed(peers[max(0, at - MAX_COMPARED) : at]):
        if _same(later.leaf, earlier.leaf):
            if reach.follows(later.path, earlier.path) and _comparable(later, earlier):
                return earlier
        elif not _stands(later.leaf) and _may_change(earlier.leaf, later.leaf):
            return None
    return None


def _wherever(reach: Reach, first: PlacedLeaf, second: PlacedLeaf) -> bool:
    """Return whether a statement applies wherever another of its kind does, to all that this one is about."""
    if (
        isinstance(first.leaf, _Scoring)
        and isinstance(second.leaf, _Scoring)
        and not covers(second.leaf, first.leaf)
    ):
        return False
    return reach.follows(first.path, second.path) and _comparable(first, second)


def _same(first: Leaf, second: Leaf) -> bool:
    """Return whether two statements of a kind say the same; one that adds says something new each time."""
    if isinstance(first, _Scoring) and isinstance(second, _Scoring):
        alike = (first.effect, first.amount) == (second.effect, second.amount)
        return (
            alike and first.effect is not ScoreEffect.ADD and covers(first, second) and covers(second, first)
        )
    return _meaning(first) == _meaning(second)


def _may_change(between: Leaf, leaf: Leaf) -> bool:
    """Return whether a statement may change what another of its kind has said."""
    if isinstance(between, _Scoring) and isinstance(leaf, _Scoring):
        return not _stands(between) and may_meet(between, leaf) and not _same(between, leaf)
    return _meaning(between) != _meaning(leaf)


@lru_cache(maxsize=4 * MAX_COMPARED)
def _meaning(leaf: Leaf) -> object:
    return without_places(leaf)


def _is_never(leaf: Leaf) -> bool:
    return isinstance(leaf, _Scoring) and leaf.effect is ScoreEffect.NEVER


def _stands(leaf: Leaf) -> bool:
    """Return whether a statement is one that no later one takes back."""
    return isinstance(leaf, _Scoring) and leaf.effect in (ScoreEffect.NEVER, ScoreEffect.AVOID)


def _replaces(leaf: Leaf) -> bool:
    """Return whether a statement takes the place of what was said before; `+N`, `never` and `avoid` don't."""
    return not isinstance(leaf, _Scoring) or leaf.effect is ScoreEffect.SET
