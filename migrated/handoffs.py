"""Carry out what a peer's daemon asks for or answers: arrivals, following, holding still."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from migrated import hands
from migrated.core import Core
from migrated.kernel.errors import RebindError, SocketGoneError
from migrated.kernel.rebind import Connection
from migrated.kernel.rebind import Rebound as KernelRebound
from migrated.mover import Mover
from migrated.peers import Peer
from migrated.sessions import Condition, Departing, ManagedSession
from sessionlayer.protocol.commands import (
    Command,
    FinishMove,
    FreezeHeld,
    MoveRefused,
    RebindForPeer,
    ReleaseHeld,
)
from sessionlayer.protocol.transitions import SessionState
from sessionlayer.protocol.values import Failed, Moved, Rebinding, Rebound

ASK_AGAIN_S: Final = 30.0
"""Seconds after which a peer is asked again whose end waits for something on its own host."""


class Handoffs:
    """Finishes our own moves, and follows peers that move."""

    def __init__(self, core: Core, mover: Mover) -> None:
        self._core = core
        self._mover = mover
        self._ask_again: dict[bytes, float] = {}

    def on_finish(self, peer: Peer, command: FinishMove) -> None:
        """Put sessions in place whose peer has answered, and say so of all at once."""
        peer.answered_at = self._core.now()
        known = [self._of(peer, entry.session_id) for entry in command.entries]
        connections = hands.locate_entries(known)
        results: list[Moved | Failed] = []
        arrived: list[tuple[ManagedSession, Departing, KernelRebound, float]] = []
        given_up: list[tuple[ManagedSession, Departing, RebindError]] = []
        for entry, session in zip(command.entries, known, strict=True):
            departing = session.departing if session else None
            if session is None or departing is None:
                reason = "the daemon was started anew in mid-move"
                results.append(Failed(session_id=entry.session_id, reason=reason))
                continue
            try:
                rebound = hands.arrive(session, hands.first(connections, session), entry)
            except RebindError as error:
                results.append(Failed(session_id=entry.session_id, reason=str(error)))
                given_up.append((session, departing, error))
                continue
            results.append(Moved(session_id=entry.session_id))
            arrived.append((session, departing, rebound, self._core.now()))
        self._core.perform(peer, peer.association.moved(results, self._core.now()))
        for session, departing, rebound, at in arrived:
            assert departing.frozen is not None
            self._arrived(
                session,
                departing,
                stopped_s=departing.frozen.stopped_s + rebound.stopped_s,
                sent_again=rebound.sent_again,
                now=at,
            )
        for session, departing, fault in given_up:
            self._give_up(session, departing, fault)

    def on_refused(self, peer: Peer, command: MoveRefused) -> None:
        """Undo the freeze of a session whose peer does not follow, where that is safe."""
        session = self._of(peer, command.session_id)
        if session is None:
            return
        departing = session.departing
        self._mover.drop_departure(session)
        self._core.tell_refused(session, command.reason)
        if command.waits:
            self._ask_again[session.session_id] = self._core.now() + ASK_AGAIN_S
            self._core.suspend(session, (command.reason,))
            return
        if not command.thaw and not command.unknown:
            self._core.retreat_from(session, departing.to if departing else None)
            return
        connection = hands.locate_one(session)
        try:
            if command.unknown or self._core.point_of(session.attachment[1]):
                hands.thaw(session, connection)
        except RebindError as error:
            self._core.journal.tell(
                "refused",
                level=logging.WARNING,
                owner=session.uid,
                session=session.short,
                reason=str(error),
            )
        if command.unknown:
            self._core.end(
                session, "the peer knows the session no more; it is plain TCP again", tell_peer=False
            )
            return
        if departing is not None:
            self._core.engine.point_failed(session.name, departing.to.key, self._core.now())
        if session.frozen:
            self._core.engine.session_suspended(session.name, self._core.now())
        else:
            self._core.engine.session_moved(session.name, session.attachment, self._core.now())
            self._core.turn(session, Condition.LIVE, (command.reason,))
            self._core.programs.live(session)
        self._core.save(session)

    def on_rebind_for_peer(self, peer: Peer, command: RebindForPeer) -> None:
        """Follow a peer that moves, and answer for all sessions of its datagram at once."""
        results: list[Rebound | Failed] = []
        ready = self._ready(peer, command, results)
        connections = hands.locate_entries([session for session, _ in ready])
        followed: list[tuple[ManagedSession, float]] = []
        for session, entry in ready:
            wanted = self._core.point_of(entry.wanted[0]) if entry.wanted else None
            try:
                rebound = hands.follow(
                    session, hands.first(connections, session), entry, wanted.interface if wanted else None
                )
            except RebindError as error:
                results.append(Failed(session_id=entry.session_id, reason=str(error)))
                self._core.tell_refused(session, str(error))
                continue
            results.append(
                Rebound(
                    session_id=entry.session_id,
                    address=rebound.local.address,
                    port=rebound.local.port,
                    received=rebound.received,
                    quiet_s=rebound.quiet_s,
                )
            )
            followed.append((session, rebound.stopped_s))
        self._core.perform(peer, peer.association.rebound(results, self._core.now()))
        for session, stopped_s in followed:
            self._followed(session, stopped_s=stopped_s)

    def _ready(
        self, peer: Peer, command: RebindForPeer, results: list[Rebound | Failed]
    ) -> list[tuple[ManagedSession, Rebinding]]:
        """Return the sessions that can follow; say of the others why not, before a socket is touched."""
        going = {entry.session_id for entry in command.entries}
        ready = []
        for entry in command.entries:
            session = self._of(peer, entry.session_id)
            if session is None:
                reason = "this host has no such connection"
                results.append(Failed(session_id=entry.session_id, reason=reason))
            elif session.frozen and (obstacle := self._core.programs.obstacle(session, going)):
                results.append(Failed(session_id=entry.session_id, reason=obstacle, frozen=True))
                self._core.tell_refused(session, obstacle)
            else:
                ready.append((session, entry))
        return ready

    def ask_again(self) -> None:
        """Ask peers again whose ends were suspended for reasons of their own; call it now and then."""
        now = self._core.now()
        for session_id in [id_ for id_, at in self._ask_again.items() if at <= now]:
            del self._ask_again[session_id]
            session = self._core.sessions.of_id(session_id)
            if session is not None and session.frozen and session.departing is None:
                self._core.engine.session_suspended(session.name, now)

    def on_held(self, peer: Peer, commands: Sequence[Command]) -> bool:
        """Take commands of one kind that are about held sessions: their sockets are looked for together."""
        freeze = [command for command in commands if isinstance(command, FreezeHeld)]
        release = [command for command in commands if isinstance(command, ReleaseHeld)]
        if freeze:
            self._freeze_held(peer, freeze)
        if release:
            self._release_held(peer, release)
        return bool(freeze or release)

    def _freeze_held(self, peer: Peer, commands: Sequence[FreezeHeld]) -> None:
        """Freeze sessions that wait for their peer for too long."""
        known = [self._of(peer, command.session_id) for command in commands]
        live = [session for session in known if session is not None and not session.frozen]
        connections = hands.reach_all(live) if live else {}
        for session in live:
            self._attempt(session, hands.park, connections)
            if session.frozen:
                self._core.sessions.touch(session)

    def _release_held(self, peer: Peer, commands: Sequence[ReleaseHeld]) -> None:
        """Let sessions go on that were frozen while they waited for their peer."""
        going = {command.session_id for command in commands}
        ready: list[tuple[ManagedSession, bool]] = []
        for command in commands:
            session = self._of(peer, command.session_id)
            if session is None:
                continue
            if session.frozen and (obstacle := self._core.programs.obstacle(session, going)):
                self._core.tell_refused(session, obstacle)
            else:
                ready.append((session, command.mover_in_place))
        connections = hands.locate_all([session for session, _ in ready])
        for session, mover_in_place in ready:
            self._attempt(session, hands.thaw if mover_in_place else hands.hold_again, connections)
            self._released(session)

    def _released(self, session: ManagedSession) -> None:
        if session.condition is Condition.SUSPENDED and not session.frozen:
            self._core.turn(session, Condition.LIVE, ("the peer is heard again",))
            self._core.save(session)
            self._core.programs.live(session)

    def settle_held(self, peer: Peer) -> None:
        """Open the windows of those sessions whose mover has said that it is in place."""
        unsettled = self._core.sessions.unsettled()
        held = [s for s in unsettled if s.socket.held is not None and self._is_over(s, peer)]
        connections = hands.reach_all(held) if held else {}
        for session in held:
            self._attempt(session, hands.settle, connections)
            if self._core.sessions.of_id(session.session_id) is session:  # it may have ended
                self._core.save(session)

    def _is_over(self, session: ManagedSession, peer: Peer) -> bool:
        """Return whether the mover of a held session has said that it is in place."""
        if session.peer is not peer or session.socket.released is not None:
            return False
        state = peer.association.session_state(session.session_id)
        return state not in (SessionState.HOLDING, SessionState.FROZEN)

    def _of(self, peer: Peer, session_id: bytes) -> ManagedSession | None:
        """Return a session that belongs to this peer: an id alone gives nobody a right to it."""
        session = self._core.sessions.of_id(session_id)
        return session if session is not None and session.peer is peer else None

    def _arrived(
        self, session: ManagedSession, departing: Departing, *, stopped_s: float, sent_again: int, now: float
    ) -> None:
        before = session.attachment
        resumed = session.condition is Condition.SUSPENDED
        session.departing = None
        session.attachment = departing.to.key
        session.moves += 1
        self._core.turn(session, Condition.LIVE, departing.because)
        self._core.engine.session_moved(session.name, departing.to.key, now)
        self._core.save(session)
        self._core.journal.tell(
            "resumed" if resumed else "moved",
            owner=session.uid,
            session=session.short,
            program=session.program,
            came_from=before[0],
            to=departing.to.name,
            local=departing.to.address,
            stopped_ms=round(stopped_s * 1e3, 2),
            handoff_ms=round((now - departing.begun) * 1e3, 2),
            sent_again=sent_again,
            because=list(departing.because),
        )
        self._core.programs.live(session)

    def _followed(self, session: ManagedSession, *, stopped_s: float) -> None:
        session.departing = None
        connection = session.record().connection
        point = self._core.point_of(connection.local_address)
        if point is not None:
            session.attachment = point.key
        session.moves += 1
        self._core.turn(session, Condition.LIVE, ("the peer has moved",))
        self._core.engine.session_moved(session.name, session.attachment, self._core.now())
        self._core.save(session)
        self._core.journal.tell(
            "followed",
            owner=session.uid,
            session=session.short,
            program=session.program,
            local=connection.local_address,
            remote=connection.remote_address,
            stopped_ms=round(stopped_s * 1e3, 2),
        )
        self._core.programs.live(session)

    def _give_up(self, session: ManagedSession, departing: Departing, error: RebindError) -> None:
        if isinstance(error, SocketGoneError):
            self._core.end(session, str(error), tell_peer=True)
            return
        self._core.tell_refused(session, str(error))
        self._core.retreat_from(session, departing.to)

    def _attempt(
        self,
        session: ManagedSession,
        work: Callable[[ManagedSession, Connection | None], None],
        connections: Mapping[int, Connection],
    ) -> None:
        try:
            work(session, hands.first(connections, session))
        except SocketGoneError as error:
            self._core.end(session, str(error), tell_peer=True)
        except RebindError as error:
            self._core.tell_refused(session, str(error))
