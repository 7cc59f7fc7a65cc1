"""Which triggers are on, and for whom; and what has changed since somebody looked last."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from engine.facts import Key

T = TypeVar("T")

NOTHING: frozenset[int] = frozenset()
NO_PATHS: frozenset[tuple[str, int]] = frozenset()

Personal = tuple[frozenset[int], frozenset[tuple[str, int]]]
"""What is on for a session, and for the paths to its peer."""

_NOTHING_PERSONAL: Personal = (NOTHING, NO_PATHS)


@dataclass(slots=True)
class Flips:
    """Whom a change concerns: triggers of the host and of links by number, sessions and peers by name."""

    host: set[int] = field(default_factory=set)
    links: set[int] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    peers: set[str] = field(default_factory=set)


class Board:
    """Hold the numbers of the triggers that are on.

    ``host`` are those of the host, ``links`` those of each link by its name.
    """

    def __init__(self) -> None:
        self.host: frozenset[int] = NOTHING
        self.links: dict[str, frozenset[int]] = {}
        self._sessions: dict[str, frozenset[int]] = {}
        self._connections: dict[tuple[int, str], set[str]] = {}
        self._paths: dict[str, frozenset[tuple[str, int]]] = {}
        self._flips = Flips()

    def of_session(self, session: str) -> frozenset[int]:
        """Return what is on for a session, or for one of its connections."""
        return self._sessions.get(session, NOTHING)

    def of_paths(self, peer: str) -> frozenset[tuple[str, int]]:
        """Return what is on for the paths to a peer: (interface, number of the trigger)."""
        return self._paths.get(peer, NO_PATHS)

    def personal(self, session: str, peer: str) -> Personal:
        """Return what `of_session` and `of_paths` do."""
        if not self._sessions and not self._paths:
            return _NOTHING_PERSONAL
        return (self.of_session(session), self.of_paths(peer))

    def turn(self, number: int, key: Key, *, on: bool) -> None:
        """Take in that a trigger was turned on or off at a subject."""
        match key:
            case ("host",):
                self.host = _changed(self.host, number, on)
                self._flips.host.add(number)
            case ("link", interface):
                _store(self.links, interface, number, on)
                self._flips.links.add(number)
            case ("path", interface, peer):
                _store(self._paths, peer, (interface, number), on)
                self._flips.peers.add(peer)
            case ("session", session):
                self._turn_session(number, session, on)
            case ("connection", session, connection):
                self._turn_connection(number, session, connection, on)

    def flips(self) -> Flips:
        """Return what has changed since this was asked last."""
        flips, self._flips = self._flips, Flips()
        return flips

    def _turn_session(self, number: int, session: str, on: bool) -> None:
        _store(self._sessions, session, number, on)
        self._flips.sessions.add(session)

    def _turn_connection(self, number: int, session: str, connection: str, on: bool) -> None:
        """A session's trigger is on while it is on for one of its connections."""
        connections = self._connections.setdefault((number, session), set())
        before = bool(connections)
        if on:
            connections.add(connection)
        else:
            connections.discard(connection)
        if not connections:
            del self._connections[number, session]
        if bool(connections) is not before:
            self._turn_session(number, session, on)


def _changed(members: frozenset[T], member: T, on: bool) -> frozenset[T]:
    return shared(members | {member} if on else members - {member})


@lru_cache(maxsize=1024)
def shared(members: frozenset[T]) -> frozenset[T]:
    """Return one object for all equal sets: the same few are on for very many sessions."""
    return members


def _store(table: dict[str, frozenset[T]], name: str, member: T, on: bool) -> None:
    """Change what is on for a name; names for which nothing is are not kept."""
    members = _changed(table.get(name, frozenset()), member, on)
    if members:
        table[name] = members
    else:
        table.pop(name, None)
