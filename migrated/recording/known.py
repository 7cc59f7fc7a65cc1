"""What an event log has said so far, and the same as the beginning of another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal

from msgspec.structs import replace

from migrated.recording.entries import (
    AddressLost,
    AddressSeen,
    DecisionGiven,
    Entry,
    FactSeen,
    LinkLost,
    LinkSeen,
    MoveFailed,
    PolicyLoaded,
    SessionAdded,
    SessionMoved,
    SessionRemoved,
    SessionSuspended,
    SnapshotBegan,
    SnapshotEnded,
)
from monitors.events import FactMeasured

MAX_FACTS: Final = 65_536
"""Most facts that a log begins with; further ones are in it from when they are measured again."""

FactKey = tuple[str, str, str, str, str]

_Owner = tuple[str, str]
"""With whom facts are forgotten: ``("interface", name)``, ``("peer", address)`` or ``("session", name)``."""


class Known:
    """What is so now, as far as the entries that were taken in say it.

    Bars after failed moves are not part of it: they fall within minutes.
    """

    def __init__(self) -> None:
        self._policy: PolicyLoaded | None = None
        self._links: dict[int, LinkSeen] = {}
        self._addresses: dict[tuple[int, str], AddressSeen] = {}
        self._sessions: dict[str, SessionAdded] = {}
        self._peers = Counter[str]()
        self._facts: dict[FactKey, FactSeen] = {}
        self._owned: dict[_Owner, set[FactKey]] = {}

    def take_in(self, entry: Entry) -> None:
        """Take in what has happened."""
        match entry:
            case PolicyLoaded():
                self._policy = entry
            case LinkSeen():
                self._see_link(entry)
            case LinkLost():
                self._lose_link(entry.event.index)
            case AddressSeen():
                self._addresses[entry.event.index, entry.event.address] = entry
            case AddressLost():
                self._addresses.pop((entry.event.index, entry.event.address), None)
            case FactSeen():
                self._see_fact(entry)
            case SessionAdded():
                self._add(entry)
            case SessionRemoved():
                self._remove(entry.session)
            case SessionMoved():
                before = self._sessions[entry.session]
                self._sessions[entry.session] = replace(before, attachment=entry.attachment, suspended=False)
            case SessionSuspended():
                self._sessions[entry.session] = replace(self._sessions[entry.session], suspended=True)
            case SnapshotBegan() | SnapshotEnded() | MoveFailed() | DecisionGiven():
                pass

    def snapshot(
        self, cause: Literal["started", "rotated"], *, program: str, wall: float, clock: float
    ) -> tuple[Entry, ...]:
        """Return the lines that a log begins with: the policy, links, addresses, sessions and their facts.

        Args:
            cause: why a log begins.
            program: the version of the program.
            wall: the time, in seconds since the epoch.
            clock: the time on the engine's clock, in seconds.
        """
        known: list[Entry] = [SnapshotBegan(wall=wall, clock=clock, cause=cause, program=program)]
        if self._policy is not None:
            known.append(self._policy)
        known += (*self._links.values(), *self._addresses.values(), *self._sessions.values())
        now = [replace(entry, wall=wall, clock=clock) for entry in known]
        ended = SnapshotEnded(wall=wall, clock=clock)
        return (*now, *self._present_facts(wall, clock), ended)

    def _see_link(self, entry: LinkSeen) -> None:
        """Take a link in. Facts belong to its name: under another name it has none."""
        link = entry.event
        for index, other in list(self._links.items()):
            same = index == link.index
            if same != (other.event.interface == link.interface):
                self._forget_facts(("interface", other.event.interface))
                if not same:
                    self._lose_link(index)
        self._links[link.index] = entry

    def _lose_link(self, index: int) -> None:
        gone = self._links.pop(index, None)
        self._addresses = {key: seen for key, seen in self._addresses.items() if key[0] != index}
        if gone is not None:
            self._forget_facts(("interface", gone.event.interface))

    def _see_fact(self, entry: FactSeen) -> None:
        """Take a fact in as the engine does: one that was overtaken by another changes nothing."""
        key, before = _key(entry.event), self._facts.get(_key(entry.event))
        if before is not None and _measured_at(entry) < _measured_at(before):
            return
        if entry.event.value is None or _is_over(entry, entry.clock):
            self._forget_fact(key)
        elif before is not None:
            self._facts[key] = entry
        elif len(self._facts) < MAX_FACTS:
            self._facts[key] = entry
            for owner in _owners(entry.event):
                self._owned.setdefault(owner, set()).add(key)

    def _forget_facts(self, owner: _Owner) -> None:
        for key in self._owned.get(owner, frozenset()).copy():
            self._forget_fact(key)

    def _forget_fact(self, key: FactKey) -> None:
        gone = self._facts.pop(key, None)
        for owner in _owners(gone.event) if gone is not None else ():
            self._owned[owner].discard(key)
            if not self._owned[owner]:
                del self._owned[owner]

    def _add(self, entry: SessionAdded) -> None:
        self._sessions[entry.description.id] = entry
        self._peers[entry.description.peer] += 1

    def _remove(self, session: str) -> None:
        peer = self._sessions.pop(session).description.peer
        self._forget_facts(("session", session))
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]
            self._forget_facts(("peer", peer))

    def _present_facts(self, wall: float, clock: float) -> Iterator[FactSeen]:
        """Return the facts that are known still, each with when it was measured."""
        for seen in self._facts.values():
            if not _is_over(seen, clock):
                yield FactSeen(wall=wall, clock=clock, event=_measured(seen.event, _measured_at(seen)))


def _key(fact: FactMeasured) -> FactKey:
    return (fact.fact, fact.interface, fact.peer, fact.session, fact.connection)


def _owners(fact: FactMeasured) -> tuple[_Owner, ...]:
    named = (("interface", fact.interface), ("peer", fact.peer), ("session", fact.session))
    return tuple(owner for owner in named if owner[1])


def _measured_at(seen: FactSeen) -> float:
    """Return when a fact was measured, on the engine's clock: at the latest when it was told."""
    at = seen.event.measured_at
    return seen.clock if at is None else min(at, seen.clock)


def _is_over(seen: FactSeen, clock: float) -> bool:
    lifetime_s = seen.event.lifetime_s
    return lifetime_s is not None and _measured_at(seen) + lifetime_s <= clock


def _measured(fact: FactMeasured, at: float) -> FactMeasured:
    from dataclasses import replace as with_changes

    return with_changes(fact, measured_at=at)
