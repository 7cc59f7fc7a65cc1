"""Whether one statement applies wherever another does, and whether it can apply at all.

A session has one connection that satisfies every `on` whose body leads to a statement, and none of
those whose `else` does. So much is certain of it, and only that is used: other connections of the
session may be whatever they like.
"""

from __future__ import annotations

from policylang.ast import Condition, On, When
from policylang.lint.layout import Layout, Path, Step
from policylang.lint.thresholds import always_on, never_on
from policylang.regions import Region, Space

MAX_BOXES = 128
"""Parts of a region that are told apart. Beyond, it is taken to be larger than it is: less is found then."""

# Keys that say something of each other: both ends of a connection are of one family.
_RELATED = {"any-port": "port", "l-port": "port", "local-ip": "remote-ip"}


class Reach:
    """Answer where the statements of a layout are reached.

    Raises:
        TooComplexError: The patterns in its conditions can't be compared within bounds.
    """

    def __init__(self, layout: Layout) -> None:
        ons = [placed.head for placed in layout.heads if isinstance(placed.head, On)]
        self._space = Space(condition for on in ons for condition in on.conditions)
        self._regions: dict[tuple[int, bool], Region] = {}
        self._keys: dict[tuple[int, bool], frozenset[str]] = {}
        # By identity: the layout holds the conditions, and to hash one takes longer than to look it up.
        self._single: dict[int, Region] = {}
        self._always: dict[int, bool] = {}

    def region(self, path: Path) -> Region:
        """Return the connections with which a path may be taken, or more."""
        if not path:
            return self._space.everything
        *_, last = path
        known = self._regions.get((last.number, last.body))
        if known is None:
            known = self._regions[last.number, last.body] = self._narrowed(self.region(path[:-1]), last)
        return known

    def satisfied(self, on: On, path: Path) -> bool:
        """Return whether an `on` holds for every session that gets to it."""
        return all(self._certain(condition, path) for condition in on.conditions)

    def impossible(self, on: On, path: Path) -> bool:
        """Return whether an `on` holds for no session that gets to it."""
        return not self._met(self.region(path), on)

    def everywhere(self, on: On) -> bool:
        """Return whether an `on` holds for every session there is."""
        return all(map(self._holds_always, on.conditions))

    def dead(self, path: Path) -> bool:
        """Return whether nothing gets through this path: an `on` or `when` of it says so already."""
        return not self.region(path) or any(
            (never_on if step.body else always_on)(step.head, path[:depth])
            for depth, step in enumerate(path)
            if isinstance(step.head, When)
        )

    def follows(self, first: Path, second: Path) -> bool:
        """Return whether the end of the second path is reached wherever that of the first is."""
        common = 0
        for a, b in zip(first, second, strict=False):
            if (a.number, a.body) != (b.number, b.body):
                break
            common += 1
        return all(self._given(step, first) for step in second[common:])

    def where(self, condition: Condition) -> Region:
        """Return the connections that satisfy a condition."""
        known = self._single.get(id(condition))
        if known is None:
            known = self._single[id(condition)] = self._space.where([condition])
        return known

    def _holds_always(self, condition: Condition) -> bool:
        known = self._always.get(id(condition))
        if known is None:
            known = self._always[id(condition)] = self._space.everything <= self.where(condition)
        return known

    def _certain(self, condition: Condition, path: Path) -> bool:
        """Return whether a condition is satisfied by every connection that gets through a path."""
        if _RELATED.get(condition.key, condition.key) in self._spoken_of(path):
            return self.region(path) <= self.where(condition)
        return self._holds_always(condition)

    def _spoken_of(self, path: Path) -> frozenset[str]:
        """Return the keys that the conditions of a path speak of: all others it leaves as they are."""
        if not path:
            return frozenset()
        *_, last = path
        known = self._keys.get((last.number, last.body))
        if known is None:
            conditions = last.head.conditions if isinstance(last.head, On) else ()
            keys = {_RELATED.get(condition.key, condition.key) for condition in conditions}
            known = self._keys[last.number, last.body] = self._spoken_of(path[:-1]) | keys
        return known

    def _given(self, step: Step, path: Path) -> bool:
        if isinstance(step.head, When):
            return (always_on if step.body else never_on)(step.head, path)
        return step.body and self.satisfied(step.head, path)

    def _narrowed(self, region: Region, step: Step) -> Region:
        if isinstance(step.head, When):
            return region
        if step.body:
            return self._met(region, step.head)
        inside = self._met(self._space.everything, step.head)
        # What is cut out must not be taken to be larger than it is.
        exact = len(inside.boxes) <= MAX_BOXES // 2 and all(
            inside <= self.where(c) for c in step.head.conditions
        )
        left = region - inside if exact else region
        return left if len(left.boxes) <= MAX_BOXES else region

    def _met(self, region: Region, on: On) -> Region:
        for condition in on.conditions:
            met = region & self.where(condition)
            if len(met.boxes) > MAX_BOXES:
                return region
            region = met
        return region
