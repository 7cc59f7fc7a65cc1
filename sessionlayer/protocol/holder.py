"""The peer's moves: have the shell rebind, answer, hold still until the peer is in place.

Source: docs/design.md, "A move", steps 3 and 5 as ``P``, and what follows the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from sessionlayer.protocol.commands import Command, FreezeHeld, MoveRefused, RebindForPeer, ReleaseHeld
from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.limits import HOLD_S
from sessionlayer.protocol.messages import (
    AnswerEntry,
    HandoffAnswer,
    HandoffDone,
    HandoffDoneAck,
    HandoffRequest,
    MoveEntry,
    Outcome,
    batches,
    pack_address,
    shortened,
    unpack_address,
)
from sessionlayer.protocol.session import PeerRequest, Session
from sessionlayer.protocol.transitions import SessionEvent, SessionState
from sessionlayer.protocol.values import Failed, Path, Rebinding, Rebound, Role
from sessionlayer.protocol.wire import Wire

_PUT_BACK = {
    SessionState.SETTLED: SessionEvent.PUT_BACK,
    SessionState.CONFIRMING: SessionEvent.PUT_BACK,
    SessionState.HOLDING: SessionEvent.PUT_BACK_HELD,
    SessionState.FROZEN: SessionEvent.PUT_BACK_HELD,
    SessionState.ASKING: SessionEvent.PUT_BACK_PARKED,
    SessionState.PARKED: SessionEvent.PUT_BACK_PARKED,
}
_HELD = (SessionState.HOLDING, SessionState.FROZEN)


class _Standing(Enum):
    """What a request is to us: to be carried out, answered from memory, refused as old, or passed over."""

    NEW = "new"
    AGAIN = "again"
    STALE = "stale"
    IGNORED = "ignored"


class Holder:
    """The moves that the peer asked for."""

    def __init__(self, wire: Wire, sessions: dict[bytes, Session], now: float) -> None:
        self._wire = wire
        self._sessions = sessions
        # Of a session that was held when our daemon last stopped it is not known for how long.
        self._held_until = {s.session_id: now for s in sessions.values() if s.state is SessionState.HOLDING}

    def on_request(
        self, message: HandoffRequest, path: Path, now: float, *, newest: bool
    ) -> tuple[Command, ...]:
        """Take a request; only the newest datagram of all steers where we send to."""
        self._wire.follow(path, newest=newest)
        rebindings: list[Rebinding] = []
        answers: list[AnswerEntry] = []
        commands: list[Command] = []
        for entry in message.entries:
            session = self._sessions.get(entry.session)
            standing = _standing(session, entry) if session else _Standing.STALE
            if session is None:
                answers.append(AnswerEntry(session=entry.session, epoch=entry.epoch, outcome=Outcome.UNKNOWN))
            elif standing is _Standing.NEW:
                rebindings.append(self._begin(session, entry, message.handoff, path))
            elif standing is _Standing.STALE:
                answers.append(_stale(session, entry))
            elif standing is _Standing.AGAIN and session.answer is not None:
                answers.append(session.answer)
                commands += self._thaw(session, now, mover_in_place=False)
        if rebindings:
            commands.append(RebindForPeer(handoff=message.handoff, entries=tuple(rebindings)))
        return (*commands, *self._answer(answers, message.handoff, path))

    def rebound(self, results: Sequence[Rebound | Failed], now: float) -> tuple[Command, ...]:
        """Take the shell's word on rebindings; see ``Association.rebound``."""
        commands: list[Command] = []
        answers: dict[tuple[int, Path], list[AnswerEntry]] = {}
        for result in results:
            session = self._sessions.get(result.session_id)
            if session is None:
                continue  # released while the shell was at work
            request = session.request
            if request is None:
                raise LocalProtocolError(f"no rebinding was asked for in state `{session.state.value}`")
            session.request = None
            if isinstance(result, Failed):
                session.answer = _failure(session, result)
                commands += _put_back(session, request, result)
            else:
                session.answer = self._take_place(session, request, result, now)
            answers.setdefault((request.handoff, request.path), []).append(session.answer)
        for (handoff, path), entries in answers.items():
            commands += self._answer(entries, handoff, path)
        return tuple(commands)

    def on_done(self, message: HandoffDone, path: Path, now: float) -> tuple[Command, ...]:
        """Take the mover's word that it is in place, and acknowledge it."""
        commands: list[Command] = []
        known = [e for e in message.entries if not self._ahead(e.session, e.epoch)]
        for entry in known:
            session = self._sessions.get(entry.session)
            if session and session.epoch == entry.epoch and session.state in _HELD:
                commands += self._thaw(session, now, mover_in_place=True)
        acks = [self._wire.send(HandoffDoneAck(entries=group), path) for group in batches(known)]
        return (*commands, *acks)

    def next_deadline(self) -> float | None:
        """Return when the next held connection is to be frozen."""
        return min(self._held_until.values(), default=None)

    def handle_timer(self, now: float) -> tuple[Command, ...]:
        """Freeze what has been held for too long."""
        due = [session_id for session_id, until in self._held_until.items() if until <= now]
        commands: list[Command] = []
        for session_id in due:
            del self._held_until[session_id]
            session = self._sessions.get(session_id)
            if session and session.state is SessionState.HOLDING:
                session.machine.feed(SessionEvent.HELD_TOO_LONG)
                commands.append(FreezeHeld(session_id=session_id))
        return tuple(commands)

    def _begin(self, session: Session, entry: MoveEntry, handoff: int, path: Path) -> Rebinding:
        self._held_until.pop(session.session_id, None)
        before = session.state
        open_window = session.meets(entry) and before is not SessionState.ASKING
        request = PeerRequest(entry=entry, handoff=handoff, path=path, before=before, open_window=open_window)
        return session.give_way(request, unpack_address(entry.address))

    def _take_place(self, session: Session, request: PeerRequest, result: Rebound, now: float) -> AnswerEntry:
        stayed = session.connection.with_local(result.address, result.port) == session.connection
        # A mover that is in place for where we are hears us: nothing to hold back for.
        live = request.open_window and stayed
        session.machine.feed(SessionEvent.REBOUND_LIVE if live else SessionEvent.REBOUND)
        session.connection = session.connection.with_local(result.address, result.port).with_remote(
            unpack_address(request.entry.address), request.entry.port
        )
        session.moves += 1
        session.hold_s = min(HOLD_S, result.quiet_s)
        if not live:
            self._held_until[session.session_id] = now + session.hold_s
        return AnswerEntry(
            session=session.session_id,
            epoch=session.epoch,
            outcome=Outcome.DONE,
            address=pack_address(result.address),
            port=result.port,
            received=result.received,
            exported=session.exchange.offered,
        )

    def _thaw(self, session: Session, now: float, *, mover_in_place: bool) -> list[Command]:
        if session.state not in _HELD:
            return []
        frozen = session.state is SessionState.FROZEN
        session.machine.feed(SessionEvent.DONE if mover_in_place else SessionEvent.ASKED_AGAIN)
        if mover_in_place:
            self._held_until.pop(session.session_id, None)
        elif frozen:
            self._held_until[session.session_id] = now + session.hold_s
        return [ReleaseHeld(session_id=session.session_id, mover_in_place=mover_in_place)] if frozen else []

    def _ahead(self, session_id: bytes, epoch: int) -> bool:
        session = self._sessions.get(session_id)
        return session is not None and epoch > session.epoch

    def _answer(self, entries: list[AnswerEntry], handoff: int, path: Path) -> list[Command]:
        groups = batches(entries)
        return [self._wire.send(HandoffAnswer(handoff=handoff, entries=group), path) for group in groups]


def _standing(session: Session, entry: MoveEntry) -> _Standing:
    """Judge a request. Requests are ordered by epoch, and of two with one epoch the client's is the later.

    A request that meets work on the socket is passed over: it is repeated anyway.
    """
    if entry.epoch > session.epoch:
        return _Standing.NEW if session.machine.allows(SessionEvent.REQUESTED) else _Standing.IGNORED
    if session.state in (SessionState.FINISHING, SessionState.REBINDING):
        return _Standing.IGNORED
    if session.state is SessionState.ASKING:
        collision = entry.epoch == session.epoch and session.role is Role.SERVER
        return _Standing.NEW if collision else _Standing.IGNORED
    if session.answer is not None and session.answer.epoch == entry.epoch:
        return _Standing.AGAIN
    return _Standing.STALE


def _stale(session: Session, entry: MoveEntry) -> AnswerEntry:
    return AnswerEntry(
        session=session.session_id, epoch=entry.epoch, outcome=Outcome.STALE, latest=session.epoch
    )


def _failure(session: Session, result: Failed) -> AnswerEntry:
    """Answer with where both ends are, unless the peer is not to thaw its end there."""
    if result.frozen:
        return AnswerEntry(
            session=session.session_id,
            epoch=session.epoch,
            outcome=Outcome.FAILED,
            reason=shortened(result.reason),
        )
    return AnswerEntry(
        session=session.session_id,
        epoch=session.epoch,
        outcome=Outcome.FAILED,
        address=pack_address(session.connection.local_address),
        port=session.connection.local_port,
        peer_address=pack_address(session.connection.remote_address),
        peer_port=session.connection.remote_port,
        reason=shortened(result.reason),
    )


def _put_back(session: Session, request: PeerRequest, result: Failed) -> list[Command]:
    event = _PUT_BACK[request.before]
    session.machine.feed(event)
    if event is SessionEvent.PUT_BACK:
        return []
    commands: list[Command] = [FreezeHeld(session_id=session.session_id)]
    if request.before is SessionState.ASKING:
        reason = f"the peer moved at the same time, and following it failed: {result.reason}"
        commands.append(MoveRefused(session_id=session.session_id, epoch=session.epoch, reason=reason))
    return commands
