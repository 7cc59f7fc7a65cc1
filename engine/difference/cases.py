"""Kinds of sessions, split by the questions that policies ask, until every question has one answer.

A policy asks whether a session *has* a connection that satisfies so much, nothing else. So a kind of
session is known by regions in each of which it has a connection and one in which it has none. That is
exact for sessions of any number of connections: there is such a session if and only if
each of the former regions holds something that the latter does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from engine.comparisons import OF_POINTS
from engine.difference.feasible import Assignment, Trigger, measured_for, measured_for_some
from monitors.facts import Subject
from policylang.regions import Region, Space, TooComplexError

MAX_CASES = 100_000
"""Kinds of sessions that one comparison of two policies looks at; with more it gives up and says so."""

_NOTHING = Region(())

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of session, at a kind of moment.

    Attributes:
        wanted: Regions in each of which the session has a connection.
        avoided: Where it has none.
        triggers: Of the `when`s that matter which are on, by what they are about: a point's name, or a
            subject's value.
    """

    wanted: tuple[Region, ...]
    avoided: Region = _NOTHING
    triggers: frozenset[tuple[str, Trigger, bool]] = frozenset()


class Kinds:
    """All kinds of sessions that a space has, and what of them can be."""

    def __init__(self, space: Space, limit: int = MAX_CASES) -> None:
        self._space = space
        self._names = space.by_session()
        self._left = self._limit = limit

    def spend(self) -> None:
        """Count one more case.

        Raises:
            TooComplexError: there are more than the limit.
        """
        self._left -= 1
        if self._left < 0:
            raise TooComplexError(f"more than {self._limit} kinds of sessions would have to be compared")

    @property
    def all(self) -> Case:
        """Return the case of any session: it has a connection."""
        return Case((self._space.everything,))

    def place(self, case: Case) -> tuple[Region, ...] | None:
        """Return connections of which each alone is in one of the wanted regions; ``None`` if there are none.

        All connections of a session are of a session of one name.
        """
        for name in self._names:
            wanted = case.wanted if len(self._names) == 1 else [region & name for region in case.wanted]
            places = [region.outside(case.avoided) for region in wanted]
            found = tuple(place for place in places if place is not None)
            if len(found) == len(places):
                return found
        return None

    def with_connection(self, case: Case, region: Region) -> Case | None:
        """Return the case of those sessions that have a connection in ``region``, if there are any."""
        if not region:
            return None
        others = tuple(wider for wider in case.wanted if not region <= wider)
        further = replace(case, wanted=(*others, region))
        return None if self.place(further) is None else further

    def without_connection(self, case: Case, region: Region) -> Case | None:
        """Return the case of those sessions that have no connection in ``region``, if there are any."""
        further = replace(case, avoided=case.avoided | region)
        return None if self.place(further) is None else further


def with_trigger(case: Case, about: str, trigger: Trigger, *, on: bool) -> Case | None:
    """Return the case in which a trigger is on, or off, if that can be."""
    further = replace(case, triggers=case.triggers | {(about, trigger, on)})
    assignment = assignment_of(further, about)
    if trigger.subject is Subject.CONNECTION:
        return further if measured_for_some(assignment) else None
    return None if measured_for(assignment) is None else further


def assignment_of(case: Case, about: str) -> Assignment:
    """Return which triggers are on for one subject of a case."""
    return frozenset((trigger, on) for where, trigger, on in case.triggers if where == about)


_Step = tuple[bool, Case]
_Branches = tuple[Case | None, Case | None]


@dataclass(slots=True)
class Asked:
    """One way through the questions: answers that are given, then the first that is possible.

    Attributes:
        kinds: All kinds of sessions.
        script: The first answers, and the case after each.
        case: The sessions that get the answers so far.
        live: Whether the session lives: of one that is only described nothing is measured.
        others: The ways that were not taken.
    """

    kinds: Kinds
    script: tuple[_Step, ...]
    case: Case
    live: bool = True
    others: list[tuple[_Step, ...]] = field(default_factory=list)
    _known: dict[object, bool] = field(default_factory=dict)
    _taken: list[_Step] = field(default_factory=list)

    def has(self, connections: Region) -> bool:
        """Answer whether the session has one of these connections; equal regions must be one object."""

        def branches() -> _Branches:
            yes = self.kinds.with_connection(self.case, connections)
            no = self.kinds.without_connection(self.case, connections)
            if yes is not None and no is not None:
                return yes, no
            # There is only one answer, so that it says nothing new.
            return (None, self.case) if yes is None else (self.case, None)

        return self._answer(id(connections), branches)

    def is_on(self, trigger: Trigger, point: str) -> bool:
        """Answer whether a `when` holds; one about links and paths for the attachment point of that name."""
        about = point if trigger.subject in OF_POINTS else trigger.subject.value

        def branches() -> _Branches:
            yes, no = (with_trigger(self.case, about, trigger, on=on) for on in (True, False))
            return yes, no

        return self._answer((about, trigger), branches)

    def _answer(self, question: object, branches: Callable[[], _Branches]) -> bool:
        known = self._known.get(question)
        if known is None:
            step = self._next_step(branches)
            self._taken.append(step)
            known, self.case = step
            self._known[question] = known
        return known

    def _next_step(self, branches: Callable[[], _Branches]) -> _Step:
        if len(self._taken) < len(self.script):
            return self.script[len(self._taken)]
        yes, no = branches()
        if yes is None:
            assert no is not None, "a case that can be remains one by one answer or the other"
            return False, no
        if no is not None:
            self.others.append((*self._taken, (False, no)))
        return True, yes


@dataclass(frozen=True, slots=True)
class Leaf(Generic[T]):
    """A kind of session and what was found out about it."""

    case: Case
    found: T


def cases(kinds: Kinds, find: Callable[[Asked], T], *, live: bool = True) -> Iterator[Leaf[T]]:
    """Yield every kind of session that ``find`` can tell apart by its questions, with what it found.

    ``live`` is as for `Asked`.

    Raises:
        TooComplexError: there are too many.
    """
    waiting: list[tuple[_Step, ...]] = [()]
    while waiting:
        kinds.spend()
        asked = Asked(kinds, waiting.pop(), kinds.all, live)
        found = find(asked)
        waiting += asked.others
        yield Leaf(asked.case, found)
