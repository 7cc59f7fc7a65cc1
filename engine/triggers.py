"""Triggers in time: what is measured turns them on and off, exactly when their clocks say so.

A trigger ``A for D until B for E`` is turned on when A holds and B does not, together, for D without a
break, and off when B has held for E, or at once when A's fact is not known any more. One without
``until`` is turned off when A holds no more. However late the caller is, all changes happen in
order, at the times of their own. At one moment values expire before triggers are judged.

Source: "Conditions that change" in ``docs/semantics.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.agenda import Agenda
from engine.board import NOTHING, Board, shared
from engine.comparisons import Pair, Trigger, TriggerTable
from engine.facts import DERIVED, FactStore, Key, Measurement, Owner, key_of
from engine.world import LinkFacts
from monitors.events import FactMeasured
from monitors.facts import ADDRESSES, CARRIER, OPERSTATE, STANDARD_FACTS, FactValue, Subject


class _Clock:
    """Of one pair at one subject: since when its triggers could turn on, or off, and which are on."""

    __slots__ = ("on", "start", "stop")

    def __init__(self) -> None:
        self.start: float | None = None
        self.stop: float | None = None
        self.on = NOTHING  # mostly, of very many clocks


class Triggers:
    """Hold the facts, the clocks of a policy's triggers, and which of them are on (``board``)."""

    def __init__(self, table: TriggerTable) -> None:
        self._facts = FactStore()
        self._links: dict[str, LinkFacts] = {}
        self._put(table)

    def _put(self, table: TriggerTable) -> None:
        """Begin with a policy in which nothing is on and no clock runs."""
        self.board = Board()
        self._pairs, self._pair_of = table.pairs, table.pair_of
        self._by_fact = table.by_fact()
        self._subjects = {name: fact.subject for name, fact in STANDARD_FACTS.items()} | table.subjects
        self._clocks: list[dict[Key, _Clock]] = [{} for _ in table.pairs]
        self._dues: Agenda[tuple[int, Key]] = Agenda()

    # What happens.

    def advance(self, now: float) -> None:
        """Let values expire and triggers turn whose time has come, step by step."""
        while (at := self.next_deadline()) is not None and at <= now:
            touched = self._touched(self._facts.expire(at))
            touched |= dict.fromkeys(self._dues.pop(at))
            self._judge(touched, at)

    def next_deadline(self) -> float | None:
        """Return when `advance` has something to do."""
        times = (self._facts.next_deadline(), self._dues.next_deadline())
        return min((at for at in times if at is not None), default=None)

    def subject_of(self, event: FactMeasured) -> Key:
        """Return what a measurement is about."""
        return key_of(event, self._subjects.get(event.fact))

    def measured(self, event: FactMeasured, key: Key, now: float) -> None:
        """Take in a value. What follows from links and addresses is not for others to say.

        Its lifetime begins when it was measured; the clocks of triggers begin now, when it is known.
        """
        if event.fact in DERIVED:
            return
        value, at = event.value, now if event.measured_at is None else min(event.measured_at, now)
        if event.lifetime_s is not None and at + event.lifetime_s <= now:
            value = None
        if self._facts.set(event.fact, key, value, at, event.lifetime_s):
            self._judge(self._touched([(event.fact, key)]), now)

    def observe(self, links: dict[str, LinkFacts], now: float) -> None:
        """Take in how the links are; what is known of a link goes with it, or with its name."""
        for interface, before in self._links.items():
            after = links.get(interface)
            if after is None or after.link != before.link:
                self.forget(("link", interface))
        changed: list[tuple[str, Key]] = []
        for interface, facts in links.items():
            changed += self._observe_link(interface, facts, now)
        self._links = links
        self._judge(self._touched(changed), now)

    def _observe_link(self, interface: str, facts: LinkFacts, now: float) -> list[tuple[str, Key]]:
        """Take in the facts that follow from a link; one that is as before was measured then."""
        key = (Subject.LINK.value, interface)
        told: list[tuple[str, FactValue]] = [
            (CARRIER.name, facts.carrier),
            (OPERSTATE.name, facts.operstate),
            (ADDRESSES.name, float(facts.addresses)),
        ]
        return [
            (fact, key)
            for fact, value in told
            if self._facts.get(fact, key) != value and self._facts.set(fact, key, value, now)
        ]

    def forget(self, owner: Owner) -> None:
        """Forget what is known of a link, a peer or a session: all that was on for it is off."""
        for fact, key in self._facts.forget(owner):
            for pair in self._by_fact.get(fact, ()):
                if pair.kind == key[0] and pair.start.fact == fact:
                    self._stop(pair, key)

    def replace(self, table: TriggerTable, now: float) -> None:
        """Go on with the triggers of another policy; a pair that both have keeps its clocks."""
        pairs, clocks = self._pairs, self._clocks
        old = {pair.comparisons: (pair, clocks[pair.number]) for pair in pairs}
        self._put(table)
        for pair in table.pairs:
            known = old.get(pair.comparisons)
            for key in self._facts.subjects(pair.start.fact):
                if key[0] != pair.kind:
                    continue
                if known is not None and key in known[1]:
                    self._inherit(pair, key, known[0], known[1][key])
                self._judge_one(pair, key, now)

    # Questions.

    def value(self, fact: str, key: Key) -> FactValue | None:
        """Return what a fact is measured to be, ``None`` if nobody knows."""
        return self._facts.get(fact, key)

    def known(self) -> Iterator[tuple[str, Key, Measurement]]:
        """Yield every fact that is known, what it is about, and how it was measured."""
        return self._facts.known()

    def connections(self, fact: str, session: str) -> tuple[Key, ...]:
        """Return the connections of a session of which a fact is known."""
        owned = self._facts.owned(("session", session))
        return tuple(key for name, key in owned if name == fact and key[0] == Subject.CONNECTION.value)

    def is_on(self, number: int, key: Key) -> bool:
        """Return whether a trigger is on at a subject."""
        clock = self._clocks[self._pair_of[number].number].get(key)
        return clock is not None and number in clock.on

    def due(self, number: int, key: Key) -> float | None:
        """Return when a trigger turns at a subject if nothing else is measured; ``None``: not by itself."""
        pair = self._pair_of[number]
        clock = self._clocks[pair.number].get(key)
        if clock is None:
            return None
        latched = pair.stop is not None
        return next(_due(t, clock, latched=latched) for t in pair.triggers if t.number == number)

    # Inside.

    def _touched(self, changed: Iterable[tuple[str, Key]]) -> dict[tuple[int, Key], None]:
        """Return the pairs, and where, that ask for facts that have changed."""
        return {
            (pair.number, key): None
            for fact, key in changed
            for pair in self._by_fact.get(fact, ())
            if pair.kind == key[0]
        }

    def _judge(self, touched: Iterable[tuple[int, Key]], now: float) -> None:
        for number, key in touched:
            self._judge_one(self._pairs[number], key, now)

    def _judge_one(self, pair: Pair, key: Key, now: float) -> None:
        """Set the clocks of a pair by what is known at ``now``, and turn the triggers that are due."""
        measured = self._facts.get(pair.start.fact, key)
        if measured is None:
            self._stop(pair, key)
            return
        clock = self._clocks[pair.number].setdefault(key, _Clock())
        stop = pair.stop is not None and pair.stop.holds(self._facts.get(pair.stop.fact, key))
        start = pair.start.holds(measured) and not stop
        clock.start = _since(clock.start, start, now)
        clock.stop = _since(clock.stop, stop, now)
        for trigger in pair.triggers:
            self._turn_if_due(pair, trigger, key, clock, now)
        dues = [_due(trigger, clock, latched=pair.stop is not None) for trigger in pair.triggers]
        self._dues.set((pair.number, key), min((at for at in dues if at is not None), default=None))

    def _turn_if_due(self, pair: Pair, trigger: Trigger, key: Key, clock: _Clock, now: float) -> None:
        latched, on = pair.stop is not None, trigger.number in clock.on
        if on and not latched:
            turns = clock.start is None
        else:
            at = _due(trigger, clock, latched=latched)
            turns = at is not None and at <= now
        if turns:
            clock.on = shared(clock.on ^ {trigger.number})
            self.board.turn(trigger.number, key, on=not on)

    def _stop(self, pair: Pair, key: Key) -> None:
        """The first fact is not known: everything is off, and no clock runs."""
        clock = self._clocks[pair.number].pop(key, None)
        self._dues.set((pair.number, key), None)
        for number in () if clock is None else clock.on:
            self.board.turn(number, key, on=False)

    def _inherit(self, pair: Pair, key: Key, old: Pair, before: _Clock) -> None:
        """Take over the clocks of the same pair in the policy before, and what was on."""
        clock = self._clocks[pair.number][key] = _Clock()
        clock.start, clock.stop = before.start, before.stop
        was = {(t.start_hold_s, t.stop_hold_s): t.number in before.on for t in old.triggers}
        for trigger in pair.triggers:
            if was.get((trigger.start_hold_s, trigger.stop_hold_s), bool(before.on)):
                clock.on = shared(clock.on | {trigger.number})
                self.board.turn(trigger.number, key, on=True)


def _since(before: float | None, holds: bool, now: float) -> float | None:
    """Return since when something holds: as before, or from now on."""
    if not holds:
        return None
    return now if before is None else before


def _due(trigger: Trigger, clock: _Clock, *, latched: bool) -> float | None:
    """Return when a trigger turns by the clocks that run."""
    if trigger.number not in clock.on:
        return None if clock.start is None else clock.start + trigger.start_hold_s
    return clock.stop + trigger.stop_hold_s if latched and clock.stop is not None else None
