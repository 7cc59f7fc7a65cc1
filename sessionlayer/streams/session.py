"""The state machine of a session: its connections, and what is said on the control transport.

What only one of the two ends does about transports is in ``client`` and ``server``. The shell moves the bytes
of connections by itself (``Connection.ring``, ``Connection.receive``) and asks here what they mean: openings,
statements and time go in, effects (``take_effects``) and bytes for the control transport (``control_output``)
come out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

from sessionlayer.continuations.attributes import AttributeStore
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams import secrets
from sessionlayer.streams.channel import ControlChannel
from sessionlayer.streams.connection import Connection
from sessionlayer.streams.errors import StreamError, StreamExpiredError, StreamRefusedError
from sessionlayer.streams.events import Acknowledged, Closed, Effect, Ended, Imported, Lost
from sessionlayer.streams.limits import ACK_DELAY_S, ANSWERS_MAX
from sessionlayer.streams.liveness import Liveness
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.seen import SeenNumbers
from sessionlayer.streams.state import SessionState
from sessionlayer.streams.statements import (
    Accepted,
    Begin,
    Bye,
    Exported,
    Gone,
    Inquire,
    Ping,
    Pong,
    Report,
    Reset,
    Statement,
    decode,
    encode,
    shortened,
)
from sessionlayer.streams.transitions import ConnectionEvent, ConnectionPhase, SessionPhase

Entropy = Callable[[int], bytes]


class Session:
    """One association's connections, at one of its two ends.

    Args:
        state: a session at rest; a new one has no connections.
        options: bounds and times.
        entropy: unpredictable bytes for nonces.
        now: seconds, monotonic.
    """

    def __init__(self, state: SessionState, options: StreamOptions, entropy: Entropy, now: float) -> None:
        self.id = secrets.session_id(state.key)
        self.client = state.client
        self.options = options
        self.connections: dict[int, Connection] = {}
        self.liveness = Liveness(options, client=state.client, now=now, suspended_s=state.suspended_s)
        self.generation = state.generation
        self._exported = state.exported
        self._start = state
        self._entropy = entropy
        self._opening_key = b""
        self._channel: ControlChannel | None = None
        self._next_number = state.next_number
        self._seen = SeenNumbers(state.newest_seen, state.seen)
        self._dirty: set[int] = set()
        self._queue: deque[Statement] = deque()
        self._effects: list[Effect] = []
        self._acknowledge_at = math.inf
        for kept in state.connections:
            self.connections[kept.number] = Connection(kept, key=state.key, client=state.client)

    # -- connections -------------------------------------------------------------------------------------

    def _add(self, number: int, purpose: bytes, *, sealed: bool) -> Connection:
        connection = Connection.new(number, purpose, sealed=sealed, key=self._start.key, client=self.client)
        self.connections[number] = connection
        return connection

    def finish(self, connection: Connection) -> None:
        """End our stream of a connection behind what was written."""
        if connection.phase is not ConnectionPhase.RESET and connection.finish():
            self._dirty.add(connection.number)

    def close(self, connection: Connection) -> None:
        """End our stream and take no more of the peer's; the connection is over when the peer has it all."""
        connection.closing = True
        self.finish(connection)
        self._settle(connection)

    def abort(self, connection: Connection, reason: str) -> None:
        """Give a connection up at once."""
        self._give_up(connection, reason, StreamError(f"the connection was given up: {reason}"))

    def received(self, connection: Connection, now: float) -> bool:
        """Note that bytes were handed out; return whether the control transport has something to send now."""
        self.liveness.heard_at = now
        inbound = connection.inbound
        if inbound.end == inbound.received and inbound.finish():
            self._note_end(connection)
            return True
        if connection.due:
            self._dirty.add(connection.number)
            return True
        if self._acknowledge_at == math.inf:
            self._acknowledge_at = now + ACK_DELAY_S
        return False

    def _note_end(self, connection: Connection) -> None:
        self._effects.append(Ended(connection.number))
        self._dirty.add(connection.number)
        self._settle(connection)

    def _settle(self, connection: Connection) -> None:
        """Let go of a connection with which both ends, or at least ours, have finished."""
        if connection.phase is not ConnectionPhase.OPEN:
            return
        if connection.finished:
            self._queue.append(connection.report())
            self._remove(connection, ConnectionEvent.FINISHED, None)
        elif connection.closing and connection.end_acknowledged:
            self._give_up(connection, "it was closed", None)

    def _give_up(self, connection: Connection, reason: str, error: ConnectionError | None) -> None:
        if not connection.machine.allows(ConnectionEvent.ABORT):
            return
        connection.give_up(reason)
        self._dirty.add(connection.number)
        self._effects.append(Lost(connection.number, error))

    def _remove(self, connection: Connection, event: ConnectionEvent, error: ConnectionError | None) -> None:
        told = connection.phase is ConnectionPhase.RESET
        connection.machine.feed(event)
        connection.ring.clear()
        del self.connections[connection.number]
        self._dirty.discard(connection.number)
        if not told:
            self._effects.append(Lost(connection.number, error))

    def _refused(self, connection: Connection, reason: str) -> None:
        error = (
            StreamRefusedError(reason)
            if connection.phase is ConnectionPhase.OPENING
            else StreamError(f"the peer gave the connection up: {reason}")
        )
        self._queue.append(Gone(connection=connection.number))
        clean = connection.inbound.ended
        self._remove(connection, ConnectionEvent.REFUSED, None if clean else error)

    def _after_positions(self, connection: Connection) -> None:
        self._effects.append(Acknowledged(connection.number))
        if connection.inbound.finish():
            self._note_end(connection)

    # -- the control transport ---------------------------------------------------------------------------

    def begin_control(self, channel: ControlChannel, now: float) -> None:
        """Go on over the transport of the handshake, as the session's first control transport."""
        self._start_control(channel, now)

    def _resume_control(self, root: bytes, now: float) -> None:
        self._start_control(ControlChannel(*secrets.control_keys(root, client=self.client)), now)

    def _start_control(self, channel: ControlChannel, now: float) -> None:
        self._channel = channel
        self._queue.clear()
        if self._exported:
            self._queue.append(Exported(values=self._exported))
        self._dirty.update(
            number for number, kept in self.connections.items() if kept.phase is not ConnectionPhase.OPENING
        )
        self._effects += self.liveness.connected(now)

    def lose_control(self, reason: str, now: float) -> None:
        """Note that the control transport has died."""
        self._channel = None
        self.liveness.lost(reason, now)

    def receive_control(self, data: bytes, now: float) -> None:
        """Take bytes of the control transport.

        Raises:
            RemoteProtocolError: the peer broke the protocol; the control transport is to be closed.
        """
        if self._channel is None:
            return
        for message in self._channel.open(data):
            self.liveness.heard_at = now
            self._handle(decode(message))
            if len(self._queue) > ANSWERS_MAX:
                raise RemoteProtocolError("the peer asks without reading the answers")

    def _handle(self, statement: Statement) -> None:
        match statement:
            case Ping():
                self._queue.append(Pong(number=statement.number))
            case Report():
                self._learn(statement)
            case Reset():
                self._learn_reset(statement)
            case Gone():
                self._learn_gone(statement)
            case Exported():
                self._effects.append(Imported(statement.values))
            case Bye():
                self._over(Closed(statement.code, statement.reason or "the peer closed the session"))
            case Pong() | Accepted():
                pass
            case Begin() | Inquire():
                raise RemoteProtocolError("the session has begun already")

    def _learn(self, report: Report) -> None:
        connection = self.connections.get(report.connection)
        if connection is None:
            self._queue.append(Gone(connection=report.connection))
            return
        if connection.phase is not ConnectionPhase.OPEN:
            return  # our Reset is under way, or the answer that opens it is
        if connection.learn(report):
            self._effects.append(Acknowledged(connection.number))
        if connection.inbound.finish():
            self._note_end(connection)
        self._settle(connection)

    def _learn_reset(self, reset: Reset) -> None:
        connection = self.connections.get(reset.connection)
        if connection is None:
            self._queue.append(Gone(connection=reset.connection))
        else:
            self._refused(connection, reset.reason)

    def _learn_gone(self, gone: Gone) -> None:
        connection = self.connections.get(gone.connection)
        if connection is None:
            return
        clean = connection.inbound.ended and connection.end is not None
        error = None if clean else StreamError("the peer does not know the connection any more")
        self._remove(connection, ConnectionEvent.PEER_GONE, error)

    def control_output(self) -> bytes:
        """Return what is to be sent on the control transport now; empty while there is none."""
        if self._channel is None or not (self._dirty or self._queue):
            return b""
        statements = [
            *self._queue,
            *(self._stated(self.connections[number]) for number in sorted(self._dirty)),
        ]
        self._queue.clear()
        self._dirty.clear()
        return b"".join(self._channel.seal(encode(statement)) for statement in statements)

    @staticmethod
    def _stated(connection: Connection) -> Statement:
        if connection.phase is ConnectionPhase.RESET:
            return Reset(connection=connection.number, reason=connection.reason)
        return connection.report()

    def export(self, values: Mapping[str, bytes]) -> None:
        """State these values on every control transport that follows, in place of those before.

        Raises:
            ContinuationError: they are too large, or a name can't be one.
        """
        store = AttributeStore(values, values)
        self._exported = store.attributes

    # -- time and end ------------------------------------------------------------------------------------

    @property
    def phase(self) -> SessionPhase:
        """Return whether the peer can be reached."""
        return self.liveness.phase

    def next_deadline(self) -> float:
        """Return when ``handle_timer`` is to be called (seconds, monotonic)."""
        return min(self._acknowledge_at, self.liveness.next_deadline())

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``."""
        if now >= self._acknowledge_at:
            self._acknowledge_at = math.inf
            self._dirty.update(
                number
                for number, kept in self.connections.items()
                if kept.inbound.received != kept.reported and kept.phase is ConnectionPhase.OPEN
            )
        effects, ping = self.liveness.tick(now)
        self._effects += effects
        if ping:
            self._queue.append(Ping(number=0))
        for effect in effects:
            if isinstance(effect, Closed):
                self._end_connections(effect)

    def end(self, code: str, reason: str) -> bytes:
        """End the session at our side; return the last bytes for the control transport."""
        farewell = (
            self._channel.seal(encode(Bye(code=code, reason=shortened(reason)))) if self._channel else b""
        )
        self._over(Closed(code, reason))
        self._channel = None
        return farewell

    def _over(self, closed: Closed) -> None:
        if self.liveness.closed():
            self._effects.append(closed)
            self._end_connections(closed)

    def _end_connections(self, closed: Closed) -> None:
        for connection in tuple(self.connections.values()):
            clean = connection.finished
            self._remove(connection, ConnectionEvent.PEER_GONE, None if clean else closing_error(closed))

    def take_effects(self) -> list[Effect]:
        """Return what has followed since the last call, in order."""
        effects, self._effects = self._effects, []
        return effects

    def state(self, unread: dict[int, bytes], host: str, port: int, now: float) -> SessionState:
        """Return the session as it is kept; ``unread`` maps connections to what the program has not read."""
        newest, seen = self._seen.state()
        return SessionState(
            client=self.client,
            key=self._start.key,
            peer_key=self._start.peer_key,
            host=host,
            port=port,
            generation=self.generation,
            suspended_s=self.liveness.suspended_s(now),
            next_number=self._next_number,
            newest_seen=newest,
            seen=seen,
            connections=tuple(
                connection.state(unread.get(connection.number, b""))
                for connection in self.connections.values()
            ),
            exported=self._exported,
        )


def closing_error(closed: Closed) -> ConnectionError:
    """Return what a connection's program is told when its session is over."""
    if closed.code in ("expired", "unknown"):
        return StreamExpiredError(f"the session is over: {closed.reason}")
    return StreamError(f"the session is over: {closed.reason}")


def new_state(key: bytes, peer_key: bytes, host: str, port: int, *, client: bool) -> SessionState:
    """Return a session that has just been agreed on, without connections."""
    return SessionState(
        client=client,
        key=key,
        peer_key=peer_key,
        host=host,
        port=port,
        generation=0,
        suspended_s=0.0,
        next_number=1,
        newest_seen=-1,
        seen=b"",
        connections=(),
    )
