"""One virtual connection as its one end sees it, whatever transports carry it."""

from __future__ import annotations

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.transitions import Machine
from sessionlayer.streams import secrets
from sessionlayer.streams.inbound import Inbound
from sessionlayer.streams.limits import ACK_BYTES
from sessionlayer.streams.openings import AnswerBody, OpeningBody
from sessionlayer.streams.records import RecordOpener, RecordSealer
from sessionlayer.streams.ring import ReplayRing
from sessionlayer.streams.state import ConnectionState
from sessionlayer.streams.statements import Report, shortened
from sessionlayer.streams.transitions import CONNECTION, ConnectionEvent, ConnectionPhase


class Connection:
    """Both directions of one connection, and the generation of its transport.

    Attributes:
        ring: what we send.
        inbound: what we receive.
        generation: of the newest transport; it only ever grows.
        opening_key: what seals the answer to the newest opening, 32 bytes.
        end: the offset at which our stream ends, once it is settled.
        closing: whether the program is done with it: what arrives is counted and dropped.
        reason: why it was given up here.
    """

    def __init__(self, state: ConnectionState, *, key: bytes, client: bool) -> None:
        sending, receiving = secrets.record_keys(key, state.number, client=client)
        self.number = state.number
        self.purpose = state.purpose
        self.sealer = RecordSealer(sending, state.records_sent) if state.sealed else None
        self.opener = (
            RecordOpener(receiving, state.records_received, state.partial_record) if state.sealed else None
        )
        wrap = self.sealer.wrap if self.sealer else None
        self.ring = ReplayRing.restored(state.acknowledged, (state.contents,), wrap)
        self.inbound = Inbound(state.received, state.peer_end, ended=state.ended)
        self.machine = Machine(CONNECTION, _phase(state))
        self.generation = state.generation
        self.opening_key = b""
        self.end = state.end
        self.end_acknowledged = state.end_acknowledged
        self.closing = state.closing
        self.reason = state.reset or ""
        self.reported = state.received

    @classmethod
    def new(cls, number: int, purpose: bytes, *, sealed: bool, key: bytes, client: bool) -> Connection:
        """Return a connection of which nothing has been sent yet."""
        state = ConnectionState(
            number=number,
            purpose=purpose,
            sealed=sealed,
            generation=0,
            open=False,
            acknowledged=0,
            contents=b"",
            received=0,
        )
        return cls(state, key=key, client=client)

    @property
    def phase(self) -> ConnectionPhase:
        """Return what is known of the connection."""
        return self.machine.state

    @property
    def finished(self) -> bool:
        """Return whether both directions came to their end, and the peer knows it of ours."""
        return self.end_acknowledged and self.inbound.ended

    @property
    def due(self) -> bool:
        """Return whether so much has arrived that it is to be acknowledged at once."""
        return self.inbound.received - self.reported >= ACK_BYTES

    def write(self, data: bytes) -> None:
        """Take bytes to send; they must not change any more."""
        self.ring.append(data)

    def receive(self, data: bytes) -> bytes:
        """Return what the program is to have of a transport's next bytes.

        Raises:
            RemoteProtocolError: there are bytes behind the end, or a record is not authentic.
        """
        fresh = self.inbound.take(data)
        return self.opener.unwrap(fresh) if self.opener else fresh

    def finish(self) -> bool:
        """End our stream behind what was written; return whether that is news."""
        if self.end is not None:
            return False
        self.ring.join()
        self.end = self.ring.written
        return True

    def report(self) -> Report:
        """Return where the connection stands."""
        self.reported = self.inbound.received
        return Report(
            connection=self.number,
            received=self.inbound.received,
            ended=self.inbound.ended,
            end=self.end,
        )

    def learn(self, report: Report) -> bool:
        """Take what the peer says of its side; return whether it has received more than we knew.

        Raises:
            RemoteProtocolError: it can't be true.
        """
        if report.end is not None:
            self.inbound.state_end(report.end)
        if report.ended and report.received != self.end:
            raise RemoteProtocolError("the peer has seen an end that was never stated")
        news = self.ring.acknowledge(report.received)
        if report.ended and not self.end_acknowledged:
            self.end_acknowledged = news = True
        return news

    def opening(self) -> OpeningBody:
        """Return what our next transport begins with; everything unacknowledged follows it."""
        self.ring.rewind(self.ring.acknowledged)
        return OpeningBody(
            received=self.inbound.received,
            sending_from=self.ring.acknowledged,
            end=self.end,
            purpose=self.purpose,
            sealed=self.sealer is not None,
        )

    def answered(self, body: AnswerBody) -> None:
        """Take the server's answer to our newest opening.

        Raises:
            RemoteProtocolError: it does not fit what we know.
        """
        self._take_positions(body)
        if self.machine.allows(ConnectionEvent.ADMIT):
            self.machine.feed(ConnectionEvent.ADMIT)

    def opened(self, body: OpeningBody, opening_key: bytes, generation: int) -> None:
        """Take the client's newest opening.

        Raises:
            RemoteProtocolError: it does not fit what we know.
        """
        self._take_positions(body)
        self.ring.rewind(self.ring.acknowledged)
        self.generation = generation
        self.opening_key = opening_key

    def answer(self) -> AnswerBody:
        """Return our answer to the newest opening."""
        if self.phase is ConnectionPhase.RESET:
            return AnswerBody(refusal=self.reason)
        return AnswerBody(received=self.inbound.received, sending_from=self.ring.acknowledged, end=self.end)

    def _take_positions(self, body: OpeningBody | AnswerBody) -> None:
        if body.end is not None:
            self.inbound.state_end(body.end)
        self.inbound.begin(body.sending_from)
        self.ring.acknowledge(body.received)

    def give_up(self, reason: str, event: ConnectionEvent = ConnectionEvent.ABORT) -> None:
        """Forget what was to be sent, and state the reason until the peer knows."""
        self.machine.feed(event)
        self.reason = shortened(reason)
        self.ring.clear()

    def state(self, unread: bytes) -> ConnectionState:
        """Return the connection as it is kept; ``unread`` is what the program has not read."""
        contents = self.ring.contents()
        return ConnectionState(
            number=self.number,
            purpose=self.purpose,
            sealed=self.sealer is not None,
            generation=self.generation,
            open=self.phase is ConnectionPhase.OPEN,
            acknowledged=self.ring.acknowledged,
            contents=contents,
            received=self.inbound.received,
            end=self.end,
            end_acknowledged=self.end_acknowledged,
            peer_end=self.inbound.end,
            ended=self.inbound.ended,
            closing=self.closing,
            unread=unread,
            records_sent=self.sealer.count if self.sealer else 0,
            records_received=self.opener.count if self.opener else 0,
            partial_record=bytes(self.opener.partial) if self.opener else b"",
            reset=self.reason if self.phase is ConnectionPhase.RESET else None,
        )


def _phase(state: ConnectionState) -> ConnectionPhase:
    if state.reset is not None:
        return ConnectionPhase.RESET
    return ConnectionPhase.OPEN if state.open else ConnectionPhase.OPENING
