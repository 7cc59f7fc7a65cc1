"""What the parts of the daemon share: the engine, the sessions, the store, and the way back to the loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from engine import AttachmentPoint, Decision, Engine
from migrated import hands
from migrated.journal import Journal
from migrated.peers import Peer
from migrated.sessions import Condition, ManagedSession, Released, SessionTable
from migrated.store import Store, StoredSession, StoreError
from sessionlayer.protocol.commands import Command

T = TypeVar("T")


class Programs(Protocol):
    """The programs that asked to be told of their sessions; see `migrated.applications`."""

    def obstacle(self, session: ManagedSession, together: Collection[bytes]) -> str:
        """Return why a suspended session can't go on now, or nothing.

        Args:
            session: frozen.
            together: the ids of all sessions that are about to go on.
        """

    def adopted(self, session: ManagedSession) -> None:
        """Take in that a connection has become a session, or is one again after a restart."""

    def suspended(self, session: ManagedSession) -> None:
        """Take in that a session is frozen until a link is back."""

    def live(self, session: ManagedSession) -> None:
        """Take in that a session is in place and carries data."""

    def ended(self, session: ManagedSession, code: str, reason: str) -> None:
        """Take in that a session is one no more; ``code`` is as in `Ended`."""

    def wants(self, session: ManagedSession) -> bool:
        """Return whether a program wants to be told when the session's peer is silent."""

    def reported(self, session: ManagedSession, *, healthy: bool, reason: str) -> None:
        """Take in what is said of a session's health in its program's place; ``reason`` is for people."""

    def stored(self, session_id: bytes) -> Released | None:
        """Return the connection of a session that was suspended, and released, before the daemon started."""


@dataclass(slots=True, kw_only=True)
class Core:
    """The daemon's shared state.

    ``perform`` carries out what an association asks for, ``carry_out`` what the engine decides, ``now`` reads
    the loop's clock in seconds. ``programs`` is set before anything happens.
    """

    engine: Engine
    sessions: SessionTable
    store: Store
    journal: Journal
    now: Callable[[], float]
    perform: Callable[[Peer, Sequence[Command]], None]
    carry_out: Callable[[Sequence[Decision]], None]
    programs: Programs = field(init=False)

    def point_of(self, address: str) -> AttachmentPoint | None:
        """Return the usable attachment point that has this local address."""
        return next((point for point in self.engine.points() if point.address == address), None)

    def save(self, session: ManagedSession) -> None:
        """Store a session as it is now. A disk that fails costs what a restart would know, nothing else."""
        self.sessions.touch(session)
        record = session.record()
        self._stored(
            self.store.save_session,
            StoredSession(
                record=record,
                inode=session.socket.inode,
                uid=session.uid,
                program=session.program,
                own=session.socket.own,
                description=session.description,
                suspended=session.frozen,
                adopted_at=session.adopted_at,
                peer_address=record.connection.remote_address,
                peer_port=record.connection.remote_port,
            ),
        )

    def turn(self, session: ManagedSession, condition: Condition, because: tuple[str, ...]) -> None:
        """Note the condition that a session is in now, and why."""
        if session.condition is not condition:
            session.since = time.time()
        session.condition = condition
        session.because = because

    def suspend(self, session: ManagedSession, because: tuple[str, ...]) -> None:
        """Note that a session is frozen until a link, or its peer, is back; tell everybody once."""
        if session.condition is not Condition.SUSPENDED:
            self.turn(session, Condition.SUSPENDED, because)
            self.journal.tell(
                "suspended",
                owner=session.uid,
                session=session.short,
                program=session.program,
                because=list(because),
            )
            self.programs.suspended(session)
        self.save(session)

    def retreat_from(self, session: ManagedSession, to: AttachmentPoint | None) -> None:
        """Have the engine choose anew for a session: only another move, to wherever, brings it back."""
        if to is not None:
            self.engine.point_failed(session.name, to.key, self.now())
        if session.frozen:
            self.engine.session_suspended(session.name, self.now())

    def tell_refused(self, session: ManagedSession, reason: str, to: AttachmentPoint | None = None) -> None:
        """Tell that something could not be done with a session, which is as it was."""
        where = {"to": to.name} if to is not None else {}
        self.journal.tell(
            "refused",
            level=logging.WARNING,
            owner=session.uid,
            session=session.short,
            **where,
            reason=reason,
        )

    def end(self, session: ManagedSession, reason: str, *, tell_peer: bool, code: str = "lost") -> None:
        """Forget a session whose connection has ended, or which is to be plain TCP again."""
        self.sessions.remove(session)
        self.engine.remove_session(session.name)
        self.forget(session.session_id)
        hands.leave(session)
        session.departing = None
        if tell_peer and session.peer is not None:
            self.perform(session.peer, session.peer.association.release(session.session_id, self.now()))
        self.journal.tell(
            "ended", owner=session.uid, session=session.short, program=session.program, reason=reason
        )
        self.programs.ended(session, code, reason)

    def forget(self, session_id: bytes) -> None:
        """Forget what is stored of a session."""
        self._stored(self.store.forget_session, session_id)

    def _stored(self, write: Callable[[T], None], what: T) -> None:
        try:
            write(what)
        except StoreError as error:
            self.journal.tell("not-stored", level=logging.ERROR, reason=str(error))
