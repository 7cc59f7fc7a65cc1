"""The sessions of this host: what the daemon keeps of each, beside what protocol and engine keep."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from engine import AttachmentPoint, PointKey, SessionDescription
from migrated.kernel.freeze import OwnOptions
from migrated.kernel.rebind import Frozen
from migrated.kernel.repair import WindowSizing
from migrated.peers import Peer
from sessionlayer.protocol.session import SessionRecord
from sessionlayer.protocol.values import Rebinding


class Condition(Enum):
    """What a person is told of a session: it carries data, is on its way, or waits for a link."""

    LIVE = "live"
    MOVING = "moving"
    SUSPENDED = "suspended"


@dataclass(slots=True, kw_only=True)
class Departing:
    """A move of ours that is under way, from the first step to the last. Times are monotonic seconds.

    ``reservation`` keeps the new port free until the socket takes it. ``frozen`` is ``None`` until the
    connection has been frozen.
    """

    to: AttachmentPoint
    urgent: bool
    because: tuple[str, ...]
    begun: float
    reservation: socket.socket | None = None
    port: int = 0
    frozen: Frozen | None = None

    def release(self) -> None:
        """Give the reserved port up."""
        if self.reservation is not None:
            self.reservation.close()
            self.reservation = None


@dataclass(slots=True, kw_only=True)
class ManagedSession:
    """One adopted connection.

    ``inode`` names its socket, which no move changes. ``own`` holds the program's own socket options.
    ``held`` and ``sizing`` are kept while we wait for a mover to be in place. ``kept`` is a duplicate of a
    frozen socket: what a program wrote before it closed the socket must still be sent. ``since`` is in
    seconds since the epoch.
    """

    session_id: bytes
    peer_key: bytes
    peer: Peer | None
    peer_address: str
    inode: int
    uid: int
    pid: int
    program: str
    own: OwnOptions
    description: SessionDescription
    attachment: PointKey
    adopted_at: float
    since: float
    restored: SessionRecord | None = None
    condition: Condition = Condition.LIVE
    frozen: bool = False
    departing: Departing | None = None
    held: Rebinding | None = None
    sizing: WindowSizing | None = None
    distressed_since: float | None = None
    because: tuple[str, ...] = ()
    moves: int = 0
    kept: socket.socket | None = None

    @property
    def name(self) -> str:
        """Return the id as people and the engine write it."""
        return self.session_id.hex()

    @property
    def short(self) -> str:
        """Return the beginning of the id, enough to tell sessions apart in a log."""
        return self.name[:8]

    def record(self) -> SessionRecord:
        """Return the protocol's part: from the association, or as it was stored until there is one."""
        if self.peer is not None:
            return self.peer.association.record(self.session_id)
        assert self.restored is not None
        return self.restored


@dataclass(slots=True)
class SessionTable:
    """All sessions, by id and by socket."""

    _by_id: dict[bytes, ManagedSession] = field(default_factory=dict)
    _by_inode: dict[int, ManagedSession] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ManagedSession]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, session: ManagedSession) -> None:
        """Take a session in."""
        self._by_id[session.session_id] = session
        self._by_inode[session.inode] = session

    def remove(self, session: ManagedSession) -> None:
        """Forget a session."""
        self._by_id.pop(session.session_id, None)
        self._by_inode.pop(session.inode, None)

    def of_id(self, session_id: bytes) -> ManagedSession | None:
        """Return the session with this 16-byte id."""
        return self._by_id.get(session_id)

    def of_name(self, name: str) -> ManagedSession | None:
        """Return the session that the engine calls by this name."""
        return self._by_id.get(bytes.fromhex(name))

    def of_inode(self, inode: int) -> ManagedSession | None:
        """Return the session whose socket this is."""
        return self._by_inode.get(inode)
