"""An association: everything between our daemon and one other, put together.

The shell calls ``receive`` for every datagram that carries our index, ``handle_timer`` at ``next_deadline``,
and the other methods for what it wants; it carries out the commands that they return, in order. All times are
seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sessionlayer.protocol.adoption import Adoptions
from sessionlayer.protocol.commands import Command
from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.protocol.exports import Exports
from sessionlayer.protocol.handshake import Established
from sessionlayer.protocol.heartbeat import Heartbeat, PathChecks
from sessionlayer.protocol.holder import Holder
from sessionlayer.protocol.keys import Entropy
from sessionlayer.protocol.messages import (
    AdoptAnswer,
    AdoptRequest,
    Exported,
    ExportedAck,
    HandoffAnswer,
    HandoffDone,
    HandoffDoneAck,
    HandoffRequest,
    Message,
    Ping,
    Pong,
    Release,
    ReleaseAck,
    decode,
)
from sessionlayer.protocol.mover import Mover
from sessionlayer.protocol.probes import Probes
from sessionlayer.protocol.releases import Releases
from sessionlayer.protocol.session import Session, SessionRecord
from sessionlayer.protocol.transitions import AssociationState, SessionState
from sessionlayer.protocol.values import Checked, Connection, Departure, Failed, Moved, Path, Rebound
from sessionlayer.protocol.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Datagrams that produced nothing: not authentic, repeated or cut short; and authentic but malformed."""

    dropped: int
    malformed: int


class Association:
    """The protocol with one peer.

    Args:
        established: the outcome of the handshake.
        path: how the peer is reached at first: our address, its address, and the port of its hello.
        sessions: stored sessions with this peer; those of other peers are left out.
        entropy: where the ids of new sessions come from.
        now: seconds.
    """

    def __init__(
        self,
        established: Established,
        *,
        path: Path,
        entropy: Entropy,
        now: float,
        sessions: Iterable[SessionRecord] = (),
    ) -> None:
        self.peer_key = established.peer_key
        restored = (Session.restored(r) for r in sessions if r.peer_key == self.peer_key)
        self._sessions = {session.session_id: session for session in restored}
        self._wire = Wire(established, path)
        self._mover = Mover(self._wire, self._sessions)
        self._holder = Holder(self._wire, self._sessions, now)
        self._releases = Releases(self._wire, self._sessions)
        self._exports = Exports(self._wire, self._sessions)
        self._adoptions = Adoptions(self._wire, self._sessions, self._releases, entropy)
        self._heartbeat = Heartbeat(self._wire, now)
        self._checks = PathChecks(self._wire)
        self._probes = Probes(self._wire)
        self._mover.resume(now)

    @property
    def state(self) -> AssociationState:
        """Return whether the peer is heard."""
        return self._heartbeat.machine.state

    @property
    def heard_at(self) -> float:
        """Return when an authentic datagram came last, or the last handshake was made."""
        return self._heartbeat.heard_at

    @property
    def path(self) -> Path:
        """Return where we send to now."""
        return self._wire.path

    @property
    def counters(self) -> Counters:
        """Return how many datagrams came to nothing."""
        return Counters(dropped=self._wire.dropped, malformed=self._wire.malformed)

    def records(self) -> tuple[SessionRecord, ...]:
        """Return all sessions as they are to be stored."""
        return tuple(session.record(self.peer_key) for session in self._sessions.values())

    def record(self, session_id: bytes) -> SessionRecord:
        """Return one session.

        Raises:
            LocalProtocolError: there is none of this id.
        """
        if session_id not in self._sessions:
            raise LocalProtocolError(f"no session `{session_id.hex()}` in this association")
        return self._sessions[session_id].record(self.peer_key)

    def session_state(self, session_id: bytes) -> SessionState:
        """Return what is under way in a session.

        Raises:
            LocalProtocolError: there is none of this id.
        """
        return self.record(session_id).state

    def receive(self, datagram: bytes, path: Path, now: float) -> tuple[Command, ...]:
        """Take a datagram that came over ``path``. Whatever it contains, nothing is raised."""
        opened = self._wire.open(datagram)
        if opened is None:
            return ()
        commands = self._heartbeat.heard(now)
        try:
            message = decode(opened.plaintext)
        except RemoteProtocolError:
            self._wire.malformed += 1
            return commands
        return commands + self._dispatch(message, path, now, newest=opened.newest)

    def next_deadline(self) -> float:
        """Return when ``handle_timer`` is to be called next."""
        parts = (self._mover, self._holder, self._adoptions, self._releases, self._exports, self._checks)
        deadlines = [deadline for part in parts if (deadline := part.next_deadline()) is not None]
        return min([self._heartbeat.next_deadline(), *deadlines])

    def handle_timer(self, now: float) -> tuple[Command, ...]:
        """Do what is due; calling it early does no harm."""
        return (
            *self._holder.handle_timer(now),
            *self._mover.handle_timer(now),
            *self._adoptions.handle_timer(now),
            *self._releases.handle_timer(now),
            *self._exports.handle_timer(now),
            *self._checks.handle_timer(now),
            *self._heartbeat.handle_timer(now),
        )

    def renew(self, established: Established, path: Path, now: float) -> tuple[Command, ...]:
        """Go on, with all sessions and whatever is under way, after another handshake with the same peer.

        Raises:
            LocalProtocolError: the handshake was with another peer.
        """
        if established.peer_key != self.peer_key:
            raise LocalProtocolError("the new handshake was made with another peer")
        self._wire.renew(established, path)
        return self._heartbeat.renewed(now)

    def use_path(self, path: Path) -> None:
        """Send from now on over ``path``; the next heartbeat makes the peer follow."""
        self._wire.follow(path, newest=True)

    def set_addresses(self, addresses: tuple[str, ...]) -> None:
        """Tell the peer with the next heartbeat where else our daemon may be found, best first."""
        self._wire.set_own_addresses(addresses)

    def adopt(self, connections: Sequence[Connection], now: float) -> tuple[Command, ...]:
        """Offer connections to the peer; each ends in ``SessionAdopted`` or ``AdoptionRefused``.

        Those that are sessions already, or offered already, are left out.
        """
        return self._adoptions.adopt(connections, now)

    def adoption_checked(self, results: Sequence[Checked]) -> tuple[Command, ...]:
        """Answer ``CheckAdoption``, all at once or one by one."""
        return self._adoptions.checked(results)

    def validate_path(self, path: Path, now: float) -> tuple[Command, ...]:
        """Ask for a sign of life over ``path``; ends in ``PathValidated``, or in ``PathFailed`` after 1 s."""
        return self._checks.validate(path, now)

    def probe(self, path: Path, now: float) -> tuple[int, tuple[Command, ...]]:
        """Ask once for a sign of life over ``path``, to measure it.

        Nothing follows from the answer, ``ProbeAnswered``, or from its absence, which is told by nothing.

        Returns:
            The number that the answer will carry, and the commands.
        """
        return self._probes.send(path, now)

    def move(
        self, departures: Sequence[Departure], path: Path, now: float
    ) -> tuple[tuple[int, ...], tuple[Command, ...]]:
        """Ask the peer to follow connections that are frozen, or in place, to where they go.

        Each ends in ``FinishMove``, ``MoveRefused``, ``RebindForPeer`` (the peer moved too and we gave way)
        or ``SessionReleased``. The request is repeated over ``path``, every other time to another known
        address of the peer, until then; another ``move`` of the same session replaces it.

        Returns:
            The numbers of the handoffs, one for each datagram, and the commands.

        Raises:
            LocalProtocolError: there is no such session.
        """
        return self._mover.move(departures, path, now)

    def rebound(self, results: Sequence[Rebound | Failed], now: float) -> tuple[Command, ...]:
        """Answer ``RebindForPeer``, all at once or one by one.

        Raises:
            LocalProtocolError: a session was not to be rebound.
        """
        return self._holder.rebound(results, now)

    def moved(self, results: Sequence[Moved | Failed], now: float) -> tuple[Command, ...]:
        """Answer ``FinishMove``, all at once or one by one.

        Raises:
            LocalProtocolError: a session's move was not to be finished.
        """
        return self._mover.moved(results, now)

    def release(self, session_id: bytes, now: float) -> tuple[Command, ...]:
        """Say that a session's connection has ended, or that it is to be a session no more.

        Raises:
            LocalProtocolError: there is no such session.
        """
        return self._releases.release(session_id, now)

    def export(self, session_id: bytes, values: Mapping[str, bytes]) -> None:
        """Have attributes of a session told when ``tell_exported`` is called; they replace earlier ones.

        Raises:
            LocalProtocolError: there is no such session, or they are too large.
        """
        self._exports.export(session_id, values)

    def tell_exported(self, session_id: bytes, now: float) -> None:
        """Tell the peer what was exported of a session that goes on; it is sent when the timer is handled.

        Raises:
            LocalProtocolError: there is no such session.
        """
        self._exports.tell(session_id, now)

    def imported(self, session_id: bytes) -> Mapping[str, bytes] | None:
        """Return the attributes that the peer has exported; ``None`` if it has not told any yet.

        Raises:
            LocalProtocolError: there is no such session.
        """
        return self._exports.imported(session_id)

    def imports_pending(self, session_id: bytes) -> bool:
        """Return whether the peer has announced attributes that have not arrived yet.

        Raises:
            LocalProtocolError: there is no such session.
        """
        return self._exports.is_pending(session_id)

    def _dispatch(self, message: Message, path: Path, now: float, *, newest: bool) -> tuple[Command, ...]:
        match message:
            case Ping():
                return self._heartbeat.on_ping(message, path, newest=newest)
            case Pong():
                self._wire.learn(message.addresses, newest=newest)
                return self._probes.on_pong(message, now) or self._checks.on_pong(message, now)
            case AdoptRequest():
                return self._adoptions.on_request(message, path)
            case AdoptAnswer():
                return self._adoptions.on_answer(message, now)
            case HandoffRequest():
                return self._holder.on_request(message, path, now, newest=newest)
            case HandoffAnswer():
                return self._mover.on_answer(message, path, now, newest=newest)
            case HandoffDone():
                return self._holder.on_done(message, path, now)
            case HandoffDoneAck():
                self._mover.on_done_ack(message)
                return ()
            case Release():
                return self._releases.on_release(message, path)
            case ReleaseAck():
                self._releases.on_ack(message)
                return ()
            case Exported():
                return self._exports.on_exported(message, path, newest=newest)
            case ExportedAck():
                self._exports.on_ack(message, now, newest=newest)
                return ()
