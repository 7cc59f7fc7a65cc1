"""What monitors may see of the sessions: frozen values, of which a change costs only those of its session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, TypeVar

from engine import AttachmentPoint, PointKey
from migrated.sessions import ManagedSession, SessionTable
from monitors.surroundings import WatchedConnection, WatchedPath
from sessionlayer.protocol.values import Connection

_T = TypeVar("_T")

PATHS_MAX: Final = 256
"""Paths that monitors are told of, those in use first: a server may have thousands of peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What one session adds: by which address its peer is known, who and where that is, and where we are."""

    peer: str
    peer_key: bytes
    remote: str
    name: str
    attachment: PointKey
    connection: WatchedConnection | None


class Watched:
    """The connections and paths of all sessions, as of the last `update`.

    Peers go by the address at which they were when a session was made, since that is what the engine, and a
    fact about a path, call them; where they are now is another matter.

    What is read here is immutable and replaced as a whole, so any thread may read it.

    Attributes:
        connections: those that are live.
        paths: at most `PATHS_MAX`, those in use first.
        sessions: the names of the sessions with each peer, by its key.
    """

    def __init__(self) -> None:
        self.connections: tuple[WatchedConnection, ...] = ()
        self.paths: tuple[WatchedPath, ...] = ()
        self.sessions: Mapping[bytes, tuple[str, ...]] = {}
        self._points: tuple[AttachmentPoint, ...] = ()
        self._entries: dict[bytes, _Entry] = {}
        self._names: dict[bytes, dict[str, None]] = {}
        self._reached: dict[str, Counter[tuple[bytes, str]]] = {}
        self._uses: Counter[tuple[PointKey, str]] = Counter()

    def update(self, table: SessionTable, points: Sequence[AttachmentPoint]) -> bool:
        """Take in the sessions that have changed, and the usable attachment points.

        Returns:
            Whether anything is another than it was.
        """
        before = (self.connections, self.paths, self.sessions)
        keys: set[bytes] = set()
        altered = self._points != tuple(points)
        self._points = tuple(points)
        for session_id in table.take_changed():
            session = table.of_id(session_id)
            entry = _entry(session) if session is not None else None
            old = self._entries.get(session_id)
            if entry != old:
                altered = True
                keys |= {each.peer_key for each in (old, entry) if each is not None}
                self._replace(session_id, old, entry)
        if not altered:
            return False
        self.connections = tuple(e.connection for e in self._entries.values() if e.connection is not None)
        self.paths = tuple(islice(chain(self._in_use(), self._others()), PATHS_MAX))
        if keys:
            self.sessions = {
                **{key: names for key, names in self.sessions.items() if key not in keys},
                **{key: tuple(self._names[key]) for key in keys if key in self._names},
            }
        return before != (self.connections, self.paths, self.sessions)

    def whereabouts(self, peer: str) -> tuple[tuple[bytes, str], ...]:
        """Return who goes by an address, as keys, and where they are now; first where most sessions go."""
        reached = self._reached.get(peer)
        return tuple(place for place, _ in reached.most_common()) if reached else ()

    def _replace(self, session_id: bytes, old: _Entry | None, new: _Entry | None) -> None:
        if old is not None:
            self._count(old, -1)
            del self._entries[session_id]
            del self._names[old.peer_key][old.name]
            if not self._names[old.peer_key]:
                del self._names[old.peer_key]
        if new is not None:
            self._count(new, 1)
            self._entries[session_id] = new
            self._names.setdefault(new.peer_key, {})[new.name] = None

    def _count(self, entry: _Entry, step: int) -> None:
        reached = self._reached.setdefault(entry.peer, Counter())
        _add(reached, (entry.peer_key, entry.remote), step)
        if not reached:
            del self._reached[entry.peer]
        _add(self._uses, (entry.attachment, entry.peer), step)

    def _in_use(self) -> Iterator[WatchedPath]:
        points = {point.key: point for point in self._points}
        for key, peer in self._uses:
            if key in points:
                yield _path(points[key], peer, in_use=True)

    def _others(self) -> Iterator[WatchedPath]:
        for peer in self._reached:
            family = 6 if ":" in peer else 4
            for point in self._points:
                if point.family == family and (point.key, peer) not in self._uses:
                    yield _path(point, peer, in_use=False)


def _add(counter: Counter[_T], thing: _T, step: int) -> None:
    counter[thing] += step
    if not counter[thing]:
        del counter[thing]


def _path(point: AttachmentPoint, peer: str, *, in_use: bool) -> WatchedPath:
    return WatchedPath(interface=point.interface, local_address=point.address, peer=peer, in_use=in_use)


def _entry(session: ManagedSession) -> _Entry:
    now = session.record().connection
    return _Entry(
        peer=session.description.peer,
        peer_key=session.peer_key,
        remote=now.remote_address,
        name=session.name,
        attachment=session.attachment,
        connection=None if session.frozen or not session.socket.inode else _connection(session, now),
    )


def _connection(session: ManagedSession, now: Connection) -> WatchedConnection:
    return WatchedConnection(
        session=session.name,
        connection=str(session.socket.inode),
        local_address=now.local_address,
        local_port=now.local_port,
        remote_address=now.remote_address,
        remote_port=now.remote_port,
        interface=session.attachment[0],
        inode=session.socket.inode,
    )
