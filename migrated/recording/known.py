"""What an event log has said so far, and the same as the beginning of another one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, Literal

from msgspec.structs import replace

from engine.facts import DERIVED
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


class Known:
    """What is so now, as far as the entries that were taken in say it.

    Bars after failed moves are not part of it: they fall within minutes. What is measured is not kept here,
    because of many sessions it is a lot: the engine has it.
    """

    def __init__(self) -> None:
        self._policy: PolicyLoaded | None = None
        self._links: dict[int, LinkSeen] = {}
        self._addresses: dict[tuple[int, str], AddressSeen] = {}
        self._sessions: dict[str, SessionAdded] = {}

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
            case SessionAdded():
                self._sessions[entry.description.id] = entry
            case SessionRemoved():
                del self._sessions[entry.session]
            case SessionMoved():
                before = self._sessions[entry.session]
                self._sessions[entry.session] = replace(before, attachment=entry.attachment, suspended=False)
            case SessionSuspended():
                self._sessions[entry.session] = replace(self._sessions[entry.session], suspended=True)
            case FactSeen() | SnapshotBegan() | SnapshotEnded() | MoveFailed() | DecisionGiven():
                pass

    def snapshot(
        self,
        cause: Literal["started", "rotated"],
        *,
        program: str,
        wall: float,
        clock: float,
        measured: Iterable[FactMeasured] = (),
    ) -> tuple[Entry, ...]:
        """Return the lines that a log begins with: the policy, links, addresses, sessions and facts.

        Args:
            cause: why a log begins.
            program: the version of the program.
            wall: the time, in seconds since the epoch.
            clock: the time on the engine's clock, in seconds.
            measured: what the engine knows, each with when it was measured.
        """
        known: list[Entry] = [SnapshotBegan(wall=wall, clock=clock, cause=cause, program=program)]
        if self._policy is not None:
            known.append(self._policy)
        known += (*self._links.values(), *self._addresses.values(), *self._sessions.values())
        now = [replace(entry, wall=wall, clock=clock) for entry in known]
        told = (fact for fact in measured if fact.fact not in DERIVED and not _is_over(fact, clock))
        facts = [FactSeen(wall=wall, clock=clock, event=fact) for fact in islice(told, MAX_FACTS)]
        return (*now, *facts, SnapshotEnded(wall=wall, clock=clock))

    def _see_link(self, entry: LinkSeen) -> None:
        """Take a link in; whatever had its name is gone."""
        link = entry.event
        for index, other in list(self._links.items()):
            if index != link.index and other.event.interface == link.interface:
                self._lose_link(index)
        self._links[link.index] = entry

    def _lose_link(self, index: int) -> None:
        self._links.pop(index, None)
        self._addresses = {key: seen for key, seen in self._addresses.items() if key[0] != index}


def _is_over(fact: FactMeasured, clock: float) -> bool:
    measured_at = clock if fact.measured_at is None else fact.measured_at
    return fact.lifetime_s is not None and measured_at + fact.lifetime_s <= clock
