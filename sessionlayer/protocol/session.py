"""A session as this daemon knows it, and what of it outlives the daemon."""

from __future__ import annotations

from dataclasses import dataclass

from sessionlayer.protocol.attributes import Exchange
from sessionlayer.protocol.limits import HOLD_S
from sessionlayer.protocol.messages import AnswerEntry, MoveEntry, pack_address
from sessionlayer.protocol.transitions import SESSION, Machine, SessionEvent, SessionState
from sessionlayer.protocol.values import Connection, Departure, Path, Rebinding, Role

_RESTORED = {
    # Work on a socket that was cut short leaves it frozen somewhere: only a move brings it back.
    SessionState.ASKING: SessionState.PARKED,
    SessionState.FINISHING: SessionState.PARKED,
    SessionState.REBINDING: SessionState.PARKED,
    # How long it has been held is not known: freeze it at once.
    SessionState.FROZEN: SessionState.HOLDING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """What is stored of a session.

    Attributes:
        session_id: 16 bytes.
        peer_key: the 32-byte static key of the peer's daemon, to which the session belongs.
        connection: the tuple now.
        epoch: the number of the last move that was asked for by either side.
        state: what was under way.
        moves: how many moves were completed.
    """

    session_id: bytes
    peer_key: bytes
    connection: Connection
    epoch: int
    state: SessionState
    moves: int

    @property
    def role(self) -> Role:
        """Return which end of the TCP connection we are."""
        return self.connection.role


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRequest:
    """A request of the peer that is being worked on, where its answer goes, and what we were doing before.

    ``open_window``: the mover is in place for where we are, so that we need not wait to hear it.
    """

    entry: MoveEntry
    handoff: int
    path: Path
    before: SessionState
    open_window: bool


class Session:
    """One session: its connection, the epoch of its last move and the state of the one under way."""

    def __init__(self, session_id: bytes, connection: Connection) -> None:
        self.session_id = session_id
        self.connection = connection
        self.epoch = 0
        self.moves = 0
        self.machine: Machine[SessionState, SessionEvent] = Machine(SESSION, SessionState.SETTLED)
        self.departure: Departure | None = None
        self.request: PeerRequest | None = None
        self.answer: AnswerEntry | None = None
        self.target: Connection | None = None
        self.hold_s = HOLD_S
        self.exchange = Exchange()

    @classmethod
    def restored(cls, record: SessionRecord) -> Session:
        """Return the session of a stored record."""
        session = cls(record.session_id, record.connection)
        session.epoch = record.epoch
        session.moves = record.moves
        session.machine.state = _RESTORED.get(record.state, record.state)
        return session

    def record(self, peer_key: bytes) -> SessionRecord:
        """Return what is to be stored."""
        return SessionRecord(
            session_id=self.session_id,
            peer_key=peer_key,
            connection=self.connection,
            epoch=self.epoch,
            state=self.state,
            moves=self.moves,
        )

    @property
    def state(self) -> SessionState:
        """Return what is under way."""
        return self.machine.state

    @property
    def role(self) -> Role:
        """Return which end of the TCP connection we are."""
        return self.connection.role

    def ask(self, departure: Departure) -> None:
        """Begin a move of our own, which replaces any that we have asked for before."""
        self.machine.feed(SessionEvent.ASK)
        self.epoch += 1
        self.departure = departure
        self.answer = None
        if departure.in_place:
            self.connection = self.connection.with_local(departure.address, departure.port)

    def move_entry(self) -> MoveEntry:
        """Return our request as it travels."""
        departure = self.departure
        assert departure is not None
        return MoveEntry(
            session=self.session_id,
            epoch=self.epoch,
            address=pack_address(departure.address),
            port=departure.port,
            received=departure.received,
            sent=departure.sent,
            in_place=departure.in_place,
            peer_address=pack_address(self.connection.remote_address) if departure.in_place else None,
            peer_port=self.connection.remote_port if departure.in_place else None,
            exported=self.exchange.offered,
        )

    def meets(self, entry: MoveEntry) -> bool:
        """Return whether the mover is in place already, and for the very place where we are."""
        here = (pack_address(self.connection.local_address), self.connection.local_port)
        return entry.in_place and (entry.peer_address, entry.peer_port) == here

    def give_way(self, request: PeerRequest, address: str) -> Rebinding:
        """Begin a move of the peer's to ``address``; one of our own that was asked for ends with it."""
        wanted = self.departure if self.state is SessionState.ASKING else None
        self.machine.feed(SessionEvent.REQUESTED)
        self.epoch = request.entry.epoch
        self.request = request
        self.answer = None
        self.departure = None
        self.exchange.incoming.announced = request.entry.exported
        return Rebinding(
            session_id=self.session_id,
            epoch=self.epoch,
            address=address,
            port=request.entry.port,
            received=request.entry.received,
            sent=request.entry.sent,
            in_place=request.open_window,
            wanted=(wanted.address, wanted.port) if wanted else None,
        )
