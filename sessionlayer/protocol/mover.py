"""Our own moves: ask until answered, let the shell finish, say so until acknowledged.

Source: docs/design.md, "A move", steps 2, 4 and 5 as ``M``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sessionlayer.protocol.commands import Command, FinishMove, FreezeHeld, MoveRefused, SendDatagram
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
    SessionEpoch,
    batches,
    pack_address,
    printable,
    unpack_address,
)
from sessionlayer.protocol.retry import Backoff
from sessionlayer.protocol.session import Session
from sessionlayer.protocol.transitions import SessionEvent, SessionState
from sessionlayer.protocol.values import Arrival, Connection, Departure, Failed, Moved, Path
from sessionlayer.protocol.wire import Wire


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Sessions of one datagram, each with the epoch that the datagram is about."""

    handoff: int
    path: Path
    epochs: dict[bytes, int]
    backoff: Backoff


class Mover:
    """The moves that our side asked for."""

    def __init__(self, wire: Wire, sessions: dict[bytes, Session]) -> None:
        self._wire = wire
        self._sessions = sessions
        self._asked: list[_Batch] = []
        self._confirming: list[_Batch] = []
        self._handoffs = 0
        # A connection restored in place ahead of the answer must not be probing when it meets nobody.
        self._freeze_at: dict[bytes, tuple[int, float]] = {}

    def resume(self, now: float) -> None:
        """Go on, after a restart, to say what was not acknowledged before it."""
        self._await_acks([s for s in self._sessions.values() if s.state is SessionState.CONFIRMING], now)

    def move(
        self, departures: Sequence[Departure], path: Path, now: float
    ) -> tuple[tuple[int, ...], tuple[Command, ...]]:
        """Ask the peer to follow; see ``Association.move``."""
        asking: list[Session] = []
        commands: list[Command] = []
        for departure in departures:
            session = self._session(departure.session_id)
            if session.machine.allows(SessionEvent.ASK):
                session.ask(departure)
                asking.append(session)
                if departure.in_place:
                    self._freeze_at[session.session_id] = (session.epoch, now + HOLD_S)
            else:
                reason = f"the connection is being worked on (`{session.state.value}`)"
                commands.append(MoveRefused(session_id=session.session_id, epoch=0, reason=reason))
        started = [self._start(group, path, now) for group in batches([s.move_entry() for s in asking])]
        commands += [command for _handoff, command in started]
        return tuple(handoff for handoff, _command in started), tuple(commands)

    def on_answer(
        self, message: HandoffAnswer, path: Path, now: float, *, newest: bool
    ) -> tuple[Command, ...]:
        """Take the peer's answer; entries about other epochs than the one asked for change nothing."""
        arrivals: list[Arrival] = []
        refused: list[Command] = []
        unmoved: list[Session] = []
        stale: list[Session] = []
        for entry, session in self._awaited(message):
            arrival = _arrival(session, entry)
            if arrival is not None:
                arrivals.append(arrival)
            elif entry.outcome == Outcome.STALE:
                session.epoch = max(session.epoch, entry.latest) + 1
                stale.append(session)
            else:
                refused += _refuse(session, entry)
                unmoved += [session] if session.state is SessionState.CONFIRMING else []
        commands = [*refused, *self.confirm(unmoved, now), *self._ask_anew(stale, message.handoff, path, now)]
        if arrivals:
            self._wire.follow(path, newest=newest)
            commands.insert(0, FinishMove(handoff=message.handoff, entries=tuple(arrivals)))
        return tuple(commands)

    def moved(self, results: Sequence[Moved | Failed], now: float) -> tuple[Command, ...]:
        """Take the shell's word on finished moves; see ``Association.moved``."""
        done: list[Session] = []
        for result in results:
            session = self._sessions.get(result.session_id)
            if session is None:
                continue  # released while the shell was at work
            if isinstance(result, Failed):
                session.machine.feed(SessionEvent.MOVE_FAILED)
            else:
                session.machine.feed(SessionEvent.MOVED)
                assert session.target is not None
                session.connection = session.target
                session.moves += 1
                done.append(session)
            session.departure = session.target = None
        return self.confirm(done, now)

    def confirm(self, sessions: Sequence[Session], now: float) -> tuple[Command, ...]:
        """Say of ``sessions``, which are in state CONFIRMING, that they are in place."""
        groups = self._await_acks(sessions, now)
        return tuple(self._wire.send(HandoffDone(entries=group)) for group in groups)

    def on_done_ack(self, message: HandoffDoneAck) -> None:
        """Take the peer's word that it knows us in place."""
        for entry in message.entries:
            session = self._sessions.get(entry.session)
            if session and session.state is SessionState.CONFIRMING and session.epoch == entry.epoch:
                session.machine.feed(SessionEvent.CONFIRMED)

    def next_deadline(self) -> float | None:
        """Return when the next repetition is due."""
        repetitions = [batch.backoff.due for batch in (*self._asked, *self._confirming)]
        return min([*repetitions, *(due for _epoch, due in self._freeze_at.values())], default=None)

    def handle_timer(self, now: float) -> tuple[Command, ...]:
        """Repeat what is due and forget what needs no repetition any more."""
        self._asked = [b for b in self._asked if self._waiting(b, SessionState.ASKING)]
        self._confirming = [b for b in self._confirming if self._waiting(b, SessionState.CONFIRMING)]
        return (*self._freeze_unanswered(now), *self._repeat_requests(now), *self._repeat_dones(now))

    def _session(self, session_id: bytes) -> Session:
        if session_id not in self._sessions:
            raise LocalProtocolError(f"no session `{session_id.hex()}` in this association")
        return self._sessions[session_id]

    def _await_acks(self, sessions: Sequence[Session], now: float) -> list[tuple[SessionEpoch, ...]]:
        groups = list(batches([SessionEpoch(session=s.session_id, epoch=s.epoch) for s in sessions]))
        for group in groups:
            epochs = {entry.session: entry.epoch for entry in group}
            self._confirming.append(
                _Batch(handoff=0, path=self._wire.path, epochs=epochs, backoff=Backoff(now))
            )
        return groups

    def _awaited(self, message: HandoffAnswer) -> Iterator[tuple[AnswerEntry, Session]]:
        for entry in message.entries:
            session = self._sessions.get(entry.session)
            if session and session.state is SessionState.ASKING and session.epoch == entry.epoch:
                yield entry, session

    def _start(self, entries: tuple[MoveEntry, ...], path: Path, now: float) -> tuple[int, SendDatagram]:
        self._handoffs += 1
        epochs = {entry.session: entry.epoch for entry in entries}
        self._asked.append(_Batch(handoff=self._handoffs, path=path, epochs=epochs, backoff=Backoff(now)))
        request = HandoffRequest(handoff=self._handoffs, entries=entries)
        return self._handoffs, self._wire.send(request, path)

    def _ask_anew(self, stale: list[Session], handoff: int, path: Path, now: float) -> list[Command]:
        # The peer has seen a later epoch than we remember: the same move, with a number above it.
        asked_over = next((b.path for b in self._asked if b.handoff == handoff), path)
        groups = batches([session.move_entry() for session in stale])
        return [self._start(group, asked_over, now)[1] for group in groups]

    def _waiting(self, batch: _Batch, state: SessionState) -> bool:
        batch.epochs = {
            session_id: epoch
            for session_id, epoch in batch.epochs.items()
            if (session := self._sessions.get(session_id))
            and (session.state, session.epoch) == (state, epoch)
        }
        return bool(batch.epochs)

    def _freeze_unanswered(self, now: float) -> list[FreezeHeld]:
        due = [(session_id, epoch) for session_id, (epoch, at) in self._freeze_at.items() if at <= now]
        for session_id, _epoch in due:
            del self._freeze_at[session_id]
        return [
            FreezeHeld(session_id=session_id)
            for session_id, epoch in due
            if (session := self._sessions.get(session_id))
            and (session.state, session.epoch) == (SessionState.ASKING, epoch)
        ]

    def _repeat_requests(self, now: float) -> Iterator[SendDatagram]:
        for batch in self._asked:
            if batch.backoff.due <= now:
                batch.backoff.again(now)
                entries = tuple(self._sessions[session_id].move_entry() for session_id in batch.epochs)
                path = self._wire.alternative(batch.path, batch.backoff.attempt)
                yield self._wire.send(HandoffRequest(handoff=batch.handoff, entries=entries), path)

    def _repeat_dones(self, now: float) -> Iterator[SendDatagram]:
        for batch in self._confirming:
            if batch.backoff.due <= now:
                batch.backoff.again(now)
                entries = tuple(SessionEpoch(session=s, epoch=e) for s, e in batch.epochs.items())
                path = self._wire.alternative(self._wire.path, batch.backoff.attempt)
                yield self._wire.send(HandoffDone(entries=entries), path)


def _arrival(session: Session, entry: AnswerEntry) -> Arrival | None:
    """Note a positive answer and return what the shell needs; ``None`` if it is none."""
    if entry.outcome != Outcome.DONE or entry.address is None or entry.port is None:
        return None
    departure = session.departure
    assert departure is not None
    address = unpack_address(entry.address)
    session.machine.feed(SessionEvent.ANSWERED)
    session.exchange.incoming.announced = entry.exported
    session.target = session.connection.with_local(departure.address, departure.port).with_remote(
        address, entry.port
    )
    return Arrival(
        session_id=session.session_id,
        epoch=entry.epoch,
        address=address,
        port=entry.port,
        received=entry.received,
    )


def _refuse(session: Session, entry: AnswerEntry) -> list[Command]:
    """Note a refusal. If both ends are on one tuple nothing has moved, and thawing is all that is needed."""
    unknown = entry.outcome == Outcome.UNKNOWN
    thaw = not unknown and _places(entry) == _mirrored_places(session.connection)
    session.machine.feed(SessionEvent.REFUSED_UNMOVED if thaw else SessionEvent.REFUSED)
    session.departure = None
    reason = "the peer does not know the session" if unknown else printable(entry.reason)
    refused = MoveRefused(
        session_id=session.session_id,
        epoch=entry.epoch,
        reason=reason,
        thaw=thaw,
        unknown=unknown,
        waits=not unknown and entry.address is None,
    )
    # One that was restored in place ahead of the answer is not frozen yet.
    return [refused] if thaw else [FreezeHeld(session_id=session.session_id), refused]


def _places(entry: AnswerEntry) -> tuple[bytes | None, int | None, bytes | None, int | None]:
    return entry.address, entry.port, entry.peer_address, entry.peer_port


def _mirrored_places(connection: Connection) -> tuple[bytes, int, bytes, int]:
    return (
        pack_address(connection.remote_address),
        connection.remote_port,
        pack_address(connection.local_address),
        connection.local_port,
    )
