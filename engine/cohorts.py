"""Cohorts: sessions that are alike in every respect, judged once for all of them."""

from __future__ import annotations

from engine.agenda import Agenda
from engine.judge import Position, Situation
from engine.scoring import Variant

CohortKey = tuple[Variant, Position, Situation]


class Cohort:
    """Some sessions of one variant, at one position, in one situation."""

    __slots__ = ("group", "members", "position", "situation")

    def __init__(self, key: CohortKey) -> None:
        self.group, self.position, self.situation = key
        self.members: dict[str, None] = {}

    @property
    def key(self) -> CohortKey:
        """Return what all members have in common."""
        return (self.group, self.position, self.situation)


class CohortTable:
    """Hold every session in the cohort of those that are like it."""

    def __init__(self) -> None:
        self._cohorts: dict[CohortKey, Cohort] = {}
        self._of: dict[str, Cohort] = {}
        self._dues: Agenda[Cohort] = Agenda()

    def __contains__(self, session: str) -> bool:
        return session in self._of

    def __getitem__(self, session: str) -> Cohort:
        return self._of[session]

    def place(
        self, session: str, group: Variant, position: Position, situation: Situation, now: float
    ) -> None:
        """Put a session, new or known, among its like, to be judged at ``now``."""
        self.remove(session)
        self.place_all({session: None}, (group, position, situation), now)

    def place_all(self, sessions: dict[str, None], key: CohortKey, now: float) -> None:
        """Put sessions that are in no cohort into one, to be judged at ``now``."""
        cohort = self._cohorts.get(key)
        if cohort is None:
            cohort = self._cohorts[key] = Cohort(key)
        cohort.members.update(sessions)
        self.hasten(cohort, now)
        self._of.update(dict.fromkeys(sessions, cohort))

    def remove(self, session: str) -> None:
        """Take a session out, if it is there."""
        cohort = self._of.pop(session, None)
        if cohort is None:
            return
        del cohort.members[session]
        if not cohort.members:
            del self._cohorts[cohort.key]
            self._dues.set(cohort, None)

    def turn(self, cohort: Cohort, key: CohortKey) -> None:
        """Have all members of a cohort in common what ``key`` says, joining them with those that have."""
        del self._cohorts[cohort.key]
        cohort.group, cohort.position, cohort.situation = key
        other = self._cohorts.get(key)
        if other is None:
            self._cohorts[key] = cohort
            return
        small, large = sorted((cohort, other), key=lambda c: len(c.members))
        large.members |= small.members
        if (due := self._dues.get(small)) is not None:
            self.hasten(large, due)
        self._dues.set(small, None)
        self._of.update(dict.fromkeys(small.members, large))
        small.members = {}
        self._cohorts[key] = large

    def shift(self, cohort: Cohort, sessions: list[str], position: Position, now: float) -> None:
        """Give some members of a cohort, or all, another position, to be judged at ``now``."""
        key = (cohort.group, position, cohort.situation)
        if len(sessions) == len(cohort.members):
            self.hasten(cohort, now)
            self.turn(cohort, key)
            return
        for session in sessions:
            self.place(session, *key, now)

    def all(self) -> list[Cohort]:
        """Return every cohort; some may be empty by the time the caller comes to them."""
        return list(self._cohorts.values())

    def hasten(self, cohort: Cohort, at: float) -> None:
        """Have a cohort judged at ``at`` or before."""
        due = self._dues.get(cohort)
        if due is None or at < due:
            self._dues.set(cohort, at)

    def put_off(self, cohort: Cohort, at: float | None) -> None:
        """Have a cohort that has been judged judged again at ``at``, or not by itself."""
        self._dues.set(cohort, at)

    def due(self, now: float) -> list[Cohort]:
        """Return the cohorts that are to be judged at ``now``, and take it that they are."""
        return self._dues.pop(now)

    def next_deadline(self) -> float | None:
        """Return when the next cohort is to be judged."""
        return self._dues.next_deadline()
