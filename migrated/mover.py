"""Carry out what the engine decides: departures, and parking."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final, assert_never

from engine import AttachmentPoint, Decision, Move, Resume, Stay, Suspend
from migrated import hands
from migrated.core import Core
from migrated.kernel.errors import RebindError, SocketGoneError
from migrated.kernel.rebind import Connection
from migrated.peers import Peer
from migrated.sessions import Condition, Departing, ManagedSession
from sessionlayer.protocol.commands import PathFailed, PathValidated
from sessionlayer.protocol.values import Path

UNANSWERED_S: Final = 2.0
"""Seconds without an answer after which another attachment point is tried."""


class Mover:
    """Moves and parks sessions; what the peer says to it is `migrated.handoffs`'."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._awaiting_path: defaultdict[tuple[bytes, Path], list[ManagedSession]] = defaultdict(list)

    # What the engine decides.

    def carry_out(self, decisions: Sequence[Decision]) -> None:
        """Begin what the engine decided, all sessions that go the same way together."""
        together: defaultdict[
            tuple[bytes, tuple[str, str], bool], list[tuple[ManagedSession, Move | Resume]]
        ] = defaultdict(list)
        suspended: list[tuple[ManagedSession, tuple[str, ...]]] = []
        going = {bytes.fromhex(d.session) for d in decisions if isinstance(d, Move | Resume)}
        for decision in decisions:
            session = self._core.sessions.of_name(decision.session)
            if session is None or self._kept_back(session, decision, going):
                continue
            match decision:
                case Move():
                    together[session.peer_key, decision.to.key, decision.urgent].append((session, decision))
                case Resume():
                    together[session.peer_key, decision.to.key, True].append((session, decision))
                case Suspend():
                    suspended.append((session, tuple(str(reason) for reason in decision.reasons)))
                case Stay():
                    pass
                case _:
                    assert_never(decision)
        live = [session for session, _ in suspended if not session.frozen]
        connections = hands.reach_all(live) if live else {}
        for session, because in suspended:
            self._suspend(session, hands.first(connections, session), because)
        for (_, _, urgent), group in together.items():
            to = group[0][1].to
            reasons = {session.name: tuple(str(r) for r in decision.reasons) for session, decision in group}
            self.begin([session for session, _ in group], to, urgent=urgent, because=reasons)

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
            self.drop_departure(session)
            reasons = because[session.name]
            session.departing = Departing(to=to, urgent=urgent, because=reasons, begun=now)
            self._tell_moving(session, to, reasons, urgent=urgent)
        if peer is None:
            for session in sessions:  # the next association takes it up again
                self.drop_departure(session)
            return
        path = self._path(peer, to)
        if urgent:
            peer.association.use_path(path)
            self._depart(peer, sessions, path)
            return
        self._awaiting_path[peer.key, path] += sessions
        self._core.perform(peer, peer.association.validate_path(path, now))

    def check_unanswered(self) -> None:
        """Try another attachment point for sessions that ask over one without an answer.

        A peer that answers for others is at work: it takes thousands of sessions one after the other.
        """
        now = self._core.now()
        for session in self._core.sessions.unsettled():
            departing = session.departing
            if departing is None or departing.frozen is None:
                continue
            answered_at = session.peer.answered_at if session.peer is not None else 0.0
            if now - max(departing.begun, answered_at) < UNANSWERED_S:
                continue
            departing.begun = now
            self._core.retreat_from(session, departing.to)

    def _kept_back(self, session: ManagedSession, decision: Decision, going: Collection[bytes]) -> bool:
        """Return whether a suspended session can't go on although a link is there."""
        if not session.frozen or not isinstance(decision, Move | Resume):
            return False
        if session.peer is None:
            return True  # the next association takes it up again
        reason = self._core.programs.obstacle(session, going)
        if reason and reason not in session.because:
            self._core.turn(session, Condition.SUSPENDED, (reason,))
            self._core.tell_refused(session, reason, decision.to)
        return bool(reason)

    def _suspend(
        self, session: ManagedSession, connection: Connection | None, because: tuple[str, ...]
    ) -> None:
        try:
            hands.park(session, connection)
        except SocketGoneError as error:
            self._core.end(session, str(error), tell_peer=True)
            return
        except RebindError as error:
            # It stays as it is; its kernel goes on trying for as long as it would without us.
            self._core.tell_refused(session, str(error))
        self._core.engine.session_suspended(session.name, self._core.now())
        self._core.suspend(session, because)

    # The paths and the departures.

    def on_path_validated(self, peer: Peer, command: PathValidated) -> None:
        """Let those go that waited for a sign of life over this path."""
        waiting = self._awaiting_path.pop((peer.key, command.path), [])
        ready = [s for s in waiting if s.departing and s.departing.frozen is None and self._is_of(peer, s)]
        if ready:
            self._depart(peer, ready, command.path)

    def on_path_failed(self, peer: Peer, command: PathFailed) -> None:
        """Leave those where they are whose new path leads nowhere."""
        for session in self._awaiting_path.pop((peer.key, command.path), []):
            if session.departing is not None and self._is_of(peer, session):
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
                    self._core.turn(moving, Condition.MOVING, moving.because)
                self._core.save(moving)

    def _is_of(self, peer: Peer, session: ManagedSession) -> bool:
        return self._core.sessions.of_id(session.session_id) is session and session.peer is peer

    def _fail(self, session: ManagedSession, to: AttachmentPoint, reason: str) -> None:
        """Leave a session where it is, live or frozen, after a move that did not begin."""
        self.drop_departure(session)
        self._core.tell_refused(session, reason, to)
        self._core.retreat_from(session, to)

    def drop_departure(self, session: ManagedSession) -> None:
        """Forget a move that is under way; its place is kept, because the peer may be late."""
        session.departing = None
        for waiting in self._awaiting_path.values():
            if session in waiting:
                waiting.remove(session)

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
