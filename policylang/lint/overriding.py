"""Rules about statements that others undo or say already.

Statements are compared within a file: that a user's file overrides the system's, or a file those that
it includes, is what layers and includes are for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

from policylang.ast import ExpireRule, ScoreEffect, ScoreInterface, ScoreServer
from policylang.lint.layout import Leaf, PlacedLeaf, without_places
from policylang.lint.material import Finding, Material
from policylang.lint.patterns import covers, may_meet
from policylang.lint.reach import Reach

MAX_COMPARED = 128
"""How many statements of its kind a statement is compared with: the nearest, and as many in no `on`."""

_Scoring = ScoreInterface | ScoreServer
_Peers = Sequence[PlacedLeaf]


def shadowed(material: Material) -> Iterator[Finding]:
    """Find statements that a later one always overrides."""
    for peers in _by_kind(material):
        for at, placed in enumerate(peers):
            later = _later(peers, at)
            winner = next((p for p in later if _overrides(material.reach, p, placed)), None)
            if winner is not None and not _says_again(material.reach, peers, winner, placed):
                yield Finding(
                    span=placed.span,
                    message=f"this has no effect: whenever it applies, {material.words(winner.span)}"
                    f" at {winner.span} overrides it",
                    hint="the last statement wins: take one of them out, or write the general one first",
                )


def repeated(material: Material) -> Iterator[Finding]:
    """Find statements that say what holds already."""
    for peers in _by_kind(material):
        for at, placed in enumerate(peers):
            earlier = reversed(peers[max(0, at - MAX_COMPARED) : at])
            said = next((p for p in earlier if _says_again(material.reach, peers, placed, p)), None)
            if said is not None:
                yield Finding(
                    span=placed.span,
                    message=f"this has no effect: {material.words(said.span)} at {said.span} says it already",
                    hint="take it out",
                )


def ruled_out(material: Material) -> Iterator[Finding]:
    """Find scores of what a `never` rules out wherever they apply."""
    for peers in _by_kind(material):
        nevers = [p for p in peers if _is_never(p.leaf)][:MAX_COMPARED]
        for placed in peers:
            if not isinstance(placed.leaf, _Scoring) or _is_never(placed.leaf):
                continue
            by = next(
                (n for n in nevers if _comparable(placed, n) and _wherever(material.reach, placed, n)), None
            )
            if by is not None:
                yield Finding(
                    span=placed.span,
                    message=f"this score counts for nothing: {material.words(by.span)} at {by.span}"
                    " rules out what it is for",
                    hint="a number doesn't lift `never`: write the exception as `on ... else`",
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


def _later(peers: _Peers, at: int) -> Iterator[PlacedLeaf]:
    near = peers[at + 1 : at + 1 + MAX_COMPARED]
    yield from near
    yield from islice((p for p in peers[at + 1 + MAX_COMPARED :] if not p.path), MAX_COMPARED)


def _comparable(first: PlacedLeaf, second: PlacedLeaf) -> bool:
    """Return whether two statements are of one file, and not one statement that is included twice."""
    return first.span.file == second.span.file and first.span != second.span


def _overrides(reach: Reach, later: PlacedLeaf, earlier: PlacedLeaf) -> bool:
    """Return whether a later statement leaves nothing of an earlier one of its kind."""
    if not _comparable(earlier, later):
        return False
    if isinstance(earlier.leaf, _Scoring):
        if _is_never(earlier.leaf) or not _sets(later.leaf):
            return False
        return _wherever(reach, earlier, later)
    return reach.follows(earlier.path, later.path)


def _says_again(reach: Reach, peers: _Peers, later: PlacedLeaf, earlier: PlacedLeaf) -> bool:
    """Return whether a later statement changes nothing about what an earlier one said."""
    if not _comparable(earlier, later) or not _same(later.leaf, earlier.leaf):
        return False
    if not reach.follows(later.path, earlier.path):
        return False
    between = (p for p in peers if earlier.order < p.order < later.order)
    return _is_never(later.leaf) or not any(_may_change(p.leaf, later.leaf) for p in between)


def _wherever(reach: Reach, first: PlacedLeaf, second: PlacedLeaf) -> bool:
    """Return whether a score statement applies to all that another one does, wherever that does."""
    assert isinstance(first.leaf, _Scoring)
    assert isinstance(second.leaf, _Scoring)
    return covers(second.leaf, first.leaf) and reach.follows(first.path, second.path)


def _same(first: Leaf, second: Leaf) -> bool:
    """Return whether two statements of a kind say the same; one that adds says something new each time."""
    if isinstance(first, _Scoring) and isinstance(second, _Scoring):
        alike = (first.effect, first.amount) == (second.effect, second.amount)
        return (
            alike and first.effect is not ScoreEffect.ADD and covers(first, second) and covers(second, first)
        )
    return without_places(first) == without_places(second)


def _may_change(between: Leaf, leaf: Leaf) -> bool:
    """Return whether a statement may change what another of its kind has said."""
    if isinstance(between, _Scoring) and isinstance(leaf, _Scoring):
        return not _is_never(between) and may_meet(between, leaf) and not _same(between, leaf)
    return without_places(between) != without_places(leaf)


def _is_never(leaf: Leaf) -> bool:
    return isinstance(leaf, _Scoring) and leaf.effect is ScoreEffect.NEVER


def _sets(leaf: Leaf) -> bool:
    return isinstance(leaf, _Scoring) and leaf.effect is ScoreEffect.SET
