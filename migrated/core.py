"""What the parts of the daemon share: the engine, the sessions, the store, and the way back to the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine import AttachmentPoint, Decision, Engine
from migrated import hands
from migrated.journal import Journal
from migrated.peers import Peer
from migrated.sessions import ManagedSession, SessionTable
from migrated.store import Store, StoredSession, StoreError
from sessionlayer.protocol.commands import Command

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Core:
    """The daemon's shared state.

    ``perform`` carries out what an association asks for, ``carry_out`` what the engine decides, ``now`` reads
    the loop's clock in seconds.
    """

    engine: Engine
    sessions: SessionTable
    store: Store
    journal: Journal
    now: Callable[[], float]
    perform: Callable[[Peer, Sequence[Command]], None]
    carry_out: Callable[[Sequence[Decision]], None]

    def point_of(self, address: str) -> AttachmentPoint | None:
        """Return the usable attachment point that has this local address."""
        return next((point for point in self.engine.points() if point.address == address), None)

    def save(self, session: ManagedSession) -> None:
        """Store a session as it is now. A disk that fails costs what a restart would know, nothing else."""
        record = session.record()
        self._stored(
            self.store.save_session,
            StoredSession(
                record=record,
                inode=session.inode,
                uid=session.uid,
                program=session.program,
                own=session.own,
                description=session.description,
                suspended=session.frozen,
                adopted_at=session.adopted_at,
                peer_address=record.connection.remote_address,
                peer_port=record.connection.remote_port,
            ),
        )

    def end(self, session: ManagedSession, reason: str, *, tell_peer: bool) -> None:
        """Forget a session whose connection has ended, or which is to be plain TCP again."""
        self.sessions.remove(session)
        self.engine.remove_session(session.name)
        self.forget(session.session_id)
        hands.leave(session)
        if session.departing is not None:
            session.departing.release()
            session.departing = None
        if tell_peer and session.peer is not None:
            self.perform(session.peer, session.peer.association.release(session.session_id, self.now()))
        self.journal.tell(
            "ended", owner=session.uid, session=session.short, program=session.program, reason=reason
        )

    def forget(self, session_id: bytes) -> None:
        """Forget what is stored of a session."""
        self._stored(self.store.forget_session, session_id)

    def _stored(self, write: Callable[[T], None], what: T) -> None:
        try:
            write(what)
        except StoreError as error:
            self.journal.tell("not-stored", level=logging.ERROR, reason=str(error))
