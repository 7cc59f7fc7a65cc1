"""A class of sessions: those for which the same `on`s hold, whatever is measured."""

from __future__ import annotations

from collections.abc import Iterable

from engine.board import NOTHING
from engine.comparisons import OF_POINTS, TriggerTable
from engine.scoring import Guard, Guarded, PlainStatement, Variant
from policylang.ast import When

MAX_VARIANTS = 256
"""Variants remembered per class; when there are more, all are forgotten and made as they are asked for."""


class SessionClass:
    """Hold the statements that may apply to the sessions of a class, and on which triggers that depends.

    Two classes are equal if they are one object.

    Attributes:
        family: By which the peer is reached, 4 or 6.
        whens: Every `when` that is read for the class, with the number of its trigger.
        triggers: Those that are judged on the session or the host.
        guards: Those that are judged for each attachment point.
    """

    def __init__(
        self,
        family: int,
        statements: Iterable[Guarded[PlainStatement]],
        whens: Iterable[tuple[When, int]],
        table: TriggerTable,
    ) -> None:
        self.family = family
        self.whens = tuple(whens)
        self._statements = tuple(statements)
        used = {guard.trigger for item in self._statements for guard in item.guards}
        self.guards = frozenset(number for number in used if table.subject_of(number) in OF_POINTS)
        self.triggers = frozenset(used) - self.guards
        self._variants: dict[frozenset[int], Variant] = {}

    def variant(self, on: frozenset[int]) -> Variant:
        """Return what holds while of all triggers of the host and the session these are on."""
        on = on & self.triggers if self.triggers else NOTHING
        known = self._variants.get(on)
        if known is None:
            if len(self._variants) >= MAX_VARIANTS:
                self._variants.clear()
            known = self._variants[on] = Variant(self, on, self._standing(on))
        return known

    def _standing(self, on: frozenset[int]) -> Iterable[Guarded[PlainStatement]]:
        """Return the statements that may apply, each with those of its guards that are judged for points."""
        for statement, guards in self._statements:
            of_session = tuple(guard for guard in guards if guard.trigger in self.triggers)
            if Guarded(statement, of_session).applies(on):
                of_points: tuple[Guard, ...] = tuple(g for g in guards if g.trigger in self.guards)
                yield Guarded(statement, of_points)
