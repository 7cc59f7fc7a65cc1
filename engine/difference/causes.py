"""The order in which differences are told: each cause once before any a second time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.difference.found import Difference
from policylang.ast import On, Policy, Span
from policylang.lint.layout import Layout, PlacedLeaf, Step, without_places

_Sayings = Mapping[Span, object]
"""What the statements of a policy say, and under which conditions, wherever they are written."""


def each_cause_first(found: Sequence[Difference], old: Policy, new: Policy) -> tuple[Difference, ...]:
    """Return the same differences, the first of each cause before the second of any.

    What one changed line decides differently may be hundreds of differences, one for each combination of
    the other lines; whoever reads the first few should learn of every change. The cause of a difference is
    what its lines say and only one of the policies does, or if there is no such thing (an order has
    changed) what only one of the decisions rests on.

    Args:
        found: The differences.
        old: The policy that ``Difference.old`` speaks of.
        new: That of ``Difference.new``.
    """
    before, after = ({leaf.span: _saying(leaf) for leaf in Layout(policy).leaves} for policy in (old, new))
    common = frozenset(before.values()) & frozenset(after.values())
    told: Counter[object] = Counter()
    turns = []
    for difference in found:
        said = _said(difference.old.spans, before), _said(difference.new.spans, after)
        cause = (difference.topic, (said[0] | said[1]) - common or said[0] ^ said[1])
        turns.append(told[cause])
        told[cause] += 1
    return tuple(found[at] for at in sorted(range(len(found)), key=turns.__getitem__))


def _said(spans: Sequence[Span], sayings: _Sayings) -> frozenset[object]:
    return frozenset(sayings[span] for span in spans if span in sayings)


def _saying(placed: PlacedLeaf) -> object:
    return tuple(map(_step, placed.path)), without_places(placed.leaf)


def _step(step: Step) -> object:
    head = step.head
    asked = head.conditions if isinstance(head, On) else (head.threshold, head.until)
    return without_places(asked), step.body
