"""Carry out what the engine decides and what a peer asks for: departures, arrivals, parking."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from engine import AttachmentPoint, Decision, Move, Resume, Stay, Suspend
from migrated import hands
from migrated.core import Core
from migrated.kernel.errors import RebindError, SocketGoneError
from migrated.kernel.rebind import Connection
from migrated.kernel.rebind import Rebound as KernelRebound
from migrated.peers import Peer
from migrated.sessions import Condition, Departing, ManagedSession
from sessionlayer.protocol.commands import (
    FinishMove,
    FreezeHeld,
    MoveRefused,
    PathFailed,
    PathValidated,
    RebindForPeer,
    ReleaseHeld,
)
from sessionlayer.protocol.transitions import SessionState
from sessionlayer.protocol.values import Failed, Moved, Path, Rebound

UNANSWERED_S: Final = 2.0
"""Seconds without an answer after which another attachment point is tried."""


class Mover:
    """Moves sessions, and follows peers that move."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._awaiting_path: defaultdict[tuple[bytes, Path], list[ManagedSession]] = defaultdict(list)

    def _of(self, peer: Peer, session_id: bytes) -> ManagedSession | None:
        """Return a session that belongs to this peer: an id alone gives nobody a right to it."""
        session = self._core.sessions.of_id(session_id)
        return session if session is not None and session.peer is peer else None

    def _known(self, peer: Peer, session: ManagedSession) -> bool:
        return self._of(peer, session.session_id) is session

    # What the engine decides.

    def carry_out(self, decisions: Sequence[Decision]) -> None:
        """Begin what the engine decided, all sessions that go the same way together."""
        together: defaultdict[
            tuple[bytes, tuple[str, str], bool], list[tuple[ManagedSession, Move | Resume]]
        ] = defaultdict(list)
        for decision in decisions:
            session = self._core.sessions.of_name(decision.session)
            if session is None:
                continue
            match decision:
                case Move():
                    together[session.peer_key, decision.to.key, decision.urgent].append((session, decision))
                case Resume():
                    together[session.peer_key, decision.to.key, True].append((session, decision))
                case Suspend():
                    self._suspend(session, tuple(str(reason) for reason in decision.reasons))
                case Stay():
                    pass
                case _:
                    assert_never(decision)
        for (_, _, urgent), group in together.items():
            to = group[0][1].to
            because = {session.name: tuple(str(r) for r in decision.reasons) for session, decision in group}
            self.begin([session for session, _ in group], to, urgent=urgent, because=because)

    def begin(
        self,
        sessions: Sequence[ManagedSession],
        to: AttachmentPoint,
        *,
        urgent: bool,
        because: dict[str, tuple[str, ...]],
    ) -> None:
        """Begin to move sessions with one peer to ``to``.

        A session whose link still works stays where it is until the peer's daemon has answered over the new
        one. ``urgent`` ones have nothing to lose.
        """
        now = self._core.now()
        peer = sessions[0].peer
        for session in sessions:
            self._drop_departure(session)
            reasons = because[session.name]
            session.departing = Departing(to=to, urgent=urgent, because=reasons, begun=now)
            self._tell_moving(session, to, reasons, urgent=urgent)
        if peer is None:
            for session in sessions:  # the next association takes it up again
                self._drop_departure(session)
            return
        path = self._path(peer, to)
        if urgent:
            peer.association.use_path(path)
            self._depart(peer, sessions, path)
            return
        self._awaiting_path[peer.key, path] += sessions
        self._core.perform(peer, peer.association.validate_path(path, now))

    def _suspend(self, session: ManagedSession, because: tuple[str, ...]) -> None:
        try:
            hands.park(session, hands.locate_one(session))
        except SocketGoneError as error:
            self._core.end(session, str(error), tell_peer=True)
            return
        except RebindError as error:
            # It stays as it is; its kernel goes on trying for as long as it would without us.
            self._tell_refused(session, str(error))
        self._core.engine.session_suspended(session.name, self._core.now())
        if session.condition is not Condition.SUSPENDED:
            self._turn(session, Condition.SUSPENDED, because)
            self._core.journal.tell(
                "suspended",
                owner=session.uid,
                session=session.short,
                program=session.program,
                because=list(because),
            )
        self._core.save(session)

    # The paths and the departures.

    def on_path_validated(self, peer: Peer, command: PathValidated) -> None:
        """Let those go that waited for a sign of life over this path."""
        waiting = self._awaiting_path.pop((peer.key, command.path), [])
        ready = [s for s in waiting if s.departing and s.departing.frozen is None and self._known(peer, s)]
        if ready:
            self._depart(peer, ready, command.path)

    def on_path_failed(self, peer: Peer, command: PathFailed) -> None:
        """Leave those where they are whose new path leads nowhere."""
        for session in self._awaiting_path.pop((peer.key, command.path), []):
            if session.departing is not None and self._known(peer, session):
                self._fail(session, session.departing.to, "the peer's daemon does not answer over this link")

    def _depart(self, peer: Peer, sessions: Sequence[ManagedSession], path: Path) -> None:
        connections = hands.locate_all(sessions)
        departures = []
        for session in sessions:
            departing = session.departing
            assert departing is not None
            try:
                departures.append(hands.depart(session, hands.first(connections, session), departing))
            except SocketGoneError as error:
                self._core.end(session, str(error), tell_peer=True)
            except RebindError as error:
                self._fail(session, departing.to, str(error))
        if departures:
            _, commands = peer.association.move(departures, path, self._core.now())
            self._core.perform(peer, commands)
            for departure in departures:
                moving = self._core.sessions.of_id(departure.session_id)
                if moving is None:
                    continue
                if moving.condition is Condition.LIVE:
                    self._turn(moving, Condition.MOVING, moving.because)
                self._core.save(moving)

    # What the protocol asks for.

    def on_finish(self, peer: Peer, command: FinishMove) -> None:
        """Put sessions in place whose peer has answered, and say so of all at once."""
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
        self._drop_departure(session)
        self._tell_refused(session, command.reason)
        if not command.thaw and not command.unknown:
            self._retreat_from(session, departing.to if departing else None)
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
            self._turn(session, Condition.LIVE, (command.reason,))
        self._core.save(session)

    def on_rebind_for_peer(self, peer: Peer, command: RebindForPeer) -> None:
        """Follow a peer that moves, and answer for all sessions of its datagram at once."""
        known = [self._of(peer, entry.session_id) for entry in command.entries]
        connections = hands.locate_entries(known)
        results: list[Rebound | Failed] = []
        followed: list[tuple[ManagedSession, float]] = []
        for entry, session in zip(command.entries, known, strict=True):
            if session is None:
                reason = "this host has no such connection"
                results.append(Failed(session_id=entry.session_id, reason=reason))
                continue
            wanted = self._core.point_of(entry.wanted[0]) if entry.wanted else None
            try:
                rebound = hands.follow(
                    session, hands.first(connections, session), entry, wanted.interface if wanted else None
                )
            except RebindError as error:
                results.append(Failed(session_id=entry.session_id, reason=str(error)))
                self._tell_refused(session, str(error))
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

    def on_freeze_held(self, peer: Peer, command: FreezeHeld) -> None:
        """Freeze a session that waits for its peer for too long."""
        session = self._of(peer, command.session_id)
        if session is not None:
            self._attempt(session, hands.park)

    def on_release_held(self, peer: Peer, command: ReleaseHeld) -> None:
        """Let a session go on that was frozen while it waited for its peer."""
        session = self._of(peer, command.session_id)
        if session is None:
            return
        if command.mover_in_place:
            self._attempt(session, hands.thaw)
        else:
            self._attempt(session, hands.hold_again)

    def settle_held(self, peer: Peer) -> None:
        """Open the windows of those sessions whose mover has said that it is in place."""
        for session in self._core.sessions:
            if session.peer is peer and session.held is not None:
                state = peer.association.session_state(session.session_id)
                if state not in (SessionState.HOLDING, SessionState.FROZEN):
                    self._attempt(session, hands.settle)
                    if self._core.sessions.of_id(session.session_id) is session:  # it may have ended
                        self._core.save(session)

    def check_unanswered(self) -> None:
        """Try another attachment point for sessions that ask over one without an answer."""
        now = self._core.now()
        for session in self._core.sessions:
            departing = session.departing
            if departing is None or departing.frozen is None or now - departing.begun < UNANSWERED_S:
                continue
            departing.begun = now
            self._retreat_from(session, departing.to)

    # What follows from it.

    def _arrived(
        self, session: ManagedSession, departing: Departing, *, stopped_s: float, sent_again: int, now: float
    ) -> None:
        before = session.attachment
        resumed = session.condition is Condition.SUSPENDED
        session.departing = None
        session.attachment = departing.to.key
        session.moves += 1
        self._turn(session, Condition.LIVE, departing.because)
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

    def _followed(self, session: ManagedSession, *, stopped_s: float) -> None:
        departing, session.departing = session.departing, None
        connection = session.record().connection
        point = self._core.point_of(connection.local_address)
        if point is not None:
            session.attachment = point.key
        session.moves += 1
        self._turn(session, Condition.LIVE, ("the peer has moved",))
        self._core.engine.session_moved(session.name, session.attachment, self._core.now())
        if departing is not None:
            departing.release()
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

    def _give_up(self, session: ManagedSession, departing: Departing, error: RebindError) -> None:
        if isinstance(error, SocketGoneError):
            self._core.end(session, str(error), tell_peer=True)
        else:
            self._retreat(session, str(error))

    def _fail(self, session: ManagedSession, to: AttachmentPoint, reason: str) -> None:
        """Leave a session where it is, live or frozen, after a move that did not begin."""
        self._drop_departure(session)
        self._core.journal.tell(
            "refused",
            level=logging.WARNING,
            owner=session.uid,
            session=session.short,
            to=to.name,
            reason=reason,
        )
        self._retreat_from(session, to)

    def _retreat(self, session: ManagedSession, reason: str) -> None:
        to = session.departing.to if session.departing else None
        self._tell_refused(session, reason)
        self._retreat_from(session, to)

    def _retreat_from(self, session: ManagedSession, to: AttachmentPoint | None) -> None:
        """Have the engine choose anew for a session: only another move, to wherever, brings it back."""
        now = self._core.now()
        if to is not None:
            self._core.engine.point_failed(session.name, to.key, now)
        if session.frozen:
            self._core.engine.session_suspended(session.name, now)

    def _drop_departure(self, session: ManagedSession) -> None:
        if session.departing is not None:
            session.departing.release()
            session.departing = None
        for waiting in self._awaiting_path.values():
            if session in waiting:
                waiting.remove(session)

    def _attempt(
        self, session: ManagedSession, work: Callable[[ManagedSession, Connection | None], None]
    ) -> None:
        try:
            work(session, hands.locate_one(session))
        except SocketGoneError as error:
            self._core.end(session, str(error), tell_peer=True)
        except RebindError as error:
            self._tell_refused(session, str(error))

    def _tell_refused(self, session: ManagedSession, reason: str) -> None:
        self._core.journal.tell(
            "refused", level=logging.WARNING, owner=session.uid, session=session.short, reason=reason
        )

    def _turn(self, session: ManagedSession, condition: Condition, because: tuple[str, ...]) -> None:
        if session.condition is not condition:
            session.since = time.time()
        session.condition = condition
        session.because = because

    def _path(self, peer: Peer, to: AttachmentPoint) -> Path:
        known = peer.association.path
        return Path(
            local_address=to.address, remote_address=known.remote_address, remote_port=known.remote_port
        )

    def _tell_moving(
        self, session: ManagedSession, to: AttachmentPoint, because: tuple[str, ...], *, urgent: bool
    ) -> None:
        self._core.journal.tell(
            "moving",
            level=logging.DEBUG,
            owner=session.uid,
            session=session.short,
            program=session.program,
            came_from=session.attachment[0],
            to=to.name,
            urgent=urgent,
            because=list(because),
        )
