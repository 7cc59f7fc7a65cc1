"""The sessions of this host: what the daemon keeps of each, beside what protocol and engine keep."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from engine import AttachmentPoint, PointKey, SessionDescription
from migrated.kernel.freeze import OwnOptions
from migrated.kernel.ports import reserve_port
from migrated.kernel.rebind import Frozen
from migrated.kernel.repair import WindowSizing
from migrated.peers import Peer
from sessionlayer.protocol.session import SessionRecord
from sessionlayer.protocol.values import Rebinding

PLACES_MAX: Final = 4
"""Local addresses for which a session keeps a port; the one that was asked for longest ago goes first."""


class Condition(Enum):
    """What a person is told of a session: it carries data, is on its way, or waits for a link."""

    LIVE = "live"
    MOVING = "moving"
    SUSPENDED = "suspended"


@dataclass(slots=True, kw_only=True)
class Departing:
    """A move of ours that is under way, from the first step to the last. Times are monotonic seconds.

    ``frozen`` is ``None`` until the connection has been frozen.
    """

    to: AttachmentPoint
    urgent: bool
    because: tuple[str, ...]
    begun: float
    port: int = 0
    frozen: Frozen | None = None


class Places:
    """Ports that a session's peer may take for its new place; what comes in there is dropped.

    A peer that is busy works off what we asked for long after we asked for something else. Then its kernel
    probes the older place, where a segment that meets nobody would be answered with a reset. So a place is
    kept although the move there was given up, and asked for again with the same port.
    """

    def __init__(self) -> None:
        self._reserved: dict[str, socket.socket] = {}

    def of(self, address: str) -> socket.socket | None:
        """Return what keeps the place on a local address free until the session's socket takes it."""
        return self._reserved.get(address)

    def reserve(self, address: str) -> int:
        """Return the port of the place on a local address.

        Raises:
            OSError: the address is not there, or no port is free.
        """
        kept = self._reserved.pop(address, None)
        # One that is closed was given up right before an attempt to take the place, which failed.
        reservation = kept if kept is not None and kept.fileno() >= 0 else reserve_port(address)
        while len(self._reserved) >= PLACES_MAX:
            self._reserved.pop(next(iter(self._reserved))).close()
        self._reserved[address] = reservation
        port: int = reservation.getsockname()[1]
        return port

    def free(self) -> None:
        """Give all places up: the peer follows none of these requests any more."""
        for reservation in self._reserved.values():
            reservation.close()
        self._reserved.clear()


class Released(Protocol):
    """The connection of a suspended session that has no socket: its kernel state is stored elsewhere."""

    @property
    def failure(self) -> str:
        """Return why the last attempt to make the socket again failed."""

    def remake(self) -> bool:
        """Make the socket again, frozen, and let the session have it; return whether that worked."""


@dataclass(slots=True, kw_only=True)
class SocketState:
    """What the daemon keeps of a session's socket.

    Attributes:
        inode: names the socket, which no move changes; 0 while there is none.
        own: the program's own socket options.
        frozen: whether it neither sends nor hears anything; a released one counts as frozen.
        held: what the peer asked for, while we wait for it to be in place.
        sizing: what that end gets back of its window's sizing then.
        kept: a duplicate of ours: what a program wrote before it closed the socket must still be sent.
        entrusted: no program has the socket; ``kept`` is all there is of it until one takes it over.
        released: set while there is no socket.
        unanswered: probes in a row that its silent peer's kernel has not answered.
        distressed_since: since when its peer is silent and it retransmits in vain, monotonic seconds.
    """

    inode: int
    own: OwnOptions
    frozen: bool = False
    held: Rebinding | None = None
    sizing: WindowSizing | None = None
    kept: socket.socket | None = None
    entrusted: bool = False
    released: Released | None = None
    unanswered: int = 0
    distressed_since: float | None = None

    def let_go(self) -> None:
        """Close our duplicate, unless it is all there is."""
        if self.kept is not None and not self.entrusted:
            self.kept.close()
            self.kept = None


@dataclass(slots=True, kw_only=True)
class ManagedSession:
    """One adopted connection. ``since`` is in seconds since the epoch.

    ``places`` holds the ports that the peer was asked to follow to, by local address, from the first
    asking until the connection is in place, wherever that is.
    """

    session_id: bytes
    peer_key: bytes
    peer: Peer | None
    uid: int
    pid: int
    program: str
    description: SessionDescription
    attachment: PointKey
    adopted_at: float
    since: float
    socket: SocketState
    restored: SessionRecord | None = None
    condition: Condition = Condition.LIVE
    departing: Departing | None = None
    because: tuple[str, ...] = ()
    moves: int = 0
    places: Places = field(default_factory=Places)

    @property
    def frozen(self) -> bool:
        """Return whether its connection is frozen, or stored."""
        return self.socket.frozen

    @property
    def name(self) -> str:
        """Return the id as people and the engine write it."""
        return self.description.id

    @property
    def short(self) -> str:
        """Return the beginning of the id, enough to tell sessions apart in a log."""
        return self.name[:8]

    @property
    def is_settled(self) -> bool:
        """Return whether it is in place and carries data, and neither end waits for the other."""
        return not self.frozen and self.socket.held is None and self.departing is None

    @property
    def is_heard(self) -> bool:
        """Return whether its peer is; after a restart one that has not been heard yet may be far away."""
        return self.peer is not None and not self.peer.silent

    def record(self) -> SessionRecord:
        """Return the protocol's part: from the association, or as it was stored until there is one."""
        if self.peer is not None:
            return self.peer.association.record(self.session_id)
        assert self.restored is not None
        return self.restored


@dataclass(slots=True)
class SessionTable:
    """All sessions, by id, by peer, and by socket where they have one; and which of them have changed.

    Most of very many sessions are settled, with peers that are heard, and are not looked at again and again.

    ``version`` is another one whenever any has changed.
    """

    _by_id: dict[bytes, ManagedSession] = field(default_factory=dict)
    _by_inode: dict[int, ManagedSession] = field(default_factory=dict)
    _by_peer: dict[bytes, dict[bytes, ManagedSession]] = field(default_factory=dict)
    _unsettled: dict[bytes, ManagedSession] = field(default_factory=dict)
    _changed: dict[bytes, None] = field(default_factory=dict)
    version: int = 0

    def __iter__(self) -> Iterator[ManagedSession]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, session: ManagedSession) -> None:
        """Take a session in."""
        self._by_id[session.session_id] = session
        self._by_peer.setdefault(session.peer_key, {})[session.session_id] = session
        if session.socket.inode:
            self._by_inode[session.socket.inode] = session
        self.touch(session)

    def remove(self, session: ManagedSession) -> None:
        """Forget a session."""
        if self._by_id.pop(session.session_id, None) is not None:
            del self._by_peer[session.peer_key][session.session_id]
            if not self._by_peer[session.peer_key]:
                del self._by_peer[session.peer_key]
        self._by_inode.pop(session.socket.inode, None)
        self.touch(session)

    def change_socket(self, session: ManagedSession, inode: int) -> None:
        """Know a session by another socket from now on, or by none (0)."""
        self._by_inode.pop(session.socket.inode, None)
        session.socket.inode = inode
        if inode:
            self._by_inode[inode] = session
        self.touch(session)

    def touch(self, session: ManagedSession) -> None:
        """Note that a session has come, gone, moved, been frozen or gone on, or waits for its peer."""
        self._changed[session.session_id] = None
        self._unsettled[session.session_id] = session
        self.version += 1

    def unsettled(self) -> tuple[ManagedSession, ...]:
        """Return the sessions that are not settled, of those that were touched."""
        self._unsettled = {
            session_id: session
            for session_id, session in self._unsettled.items()
            if not session.is_settled and self._by_id.get(session_id) is session
        }
        return tuple(self._unsettled.values())

    def unheard(self) -> tuple[ManagedSession, ...]:
        """Return the sessions whose peer is not heard."""
        return tuple(
            session
            for sessions in self._by_peer.values()
            if not next(iter(sessions.values())).is_heard  # they all have the same
            for session in sessions.values()
        )

    def peer_keys(self) -> Set[bytes]:
        """Return the keys of the peers with which there are sessions."""
        return self._by_peer.keys()

    @property
    def has_changed(self) -> bool:
        """Return whether a session was touched since `take_changed`."""
        return bool(self._changed)

    def take_changed(self) -> tuple[bytes, ...]:
        """Return the ids of the sessions that were touched since the last call, in that order."""
        changed = tuple(self._changed)
        self._changed.clear()
        return changed

    def of_id(self, session_id: bytes) -> ManagedSession | None:
        """Return the session with this 16-byte id."""
        return self._by_id.get(session_id)

    def of_name(self, name: str) -> ManagedSession | None:
        """Return the session that the engine calls by this name."""
        return self._by_id.get(bytes.fromhex(name))

    def of_inode(self, inode: int) -> ManagedSession | None:
        """Return the session whose socket this is."""
        return self._by_inode.get(inode)
