"""A shell over the simulated kernel: it does for the protocol what the daemon does for real."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import assert_never

from sessionlayer.protocol.association import Association
from sessionlayer.protocol.commands import (
    AdoptionRefused,
    AttributesImported,
    CheckAdoption,
    Command,
    FinishMove,
    FreezeHeld,
    MoveRefused,
    PathFailed,
    PathValidated,
    PeerHeard,
    PeerSilent,
    ProbeAnswered,
    RebindForPeer,
    ReleaseHeld,
    SendDatagram,
    SessionAdopted,
    SessionReleased,
)
from sessionlayer.protocol.transitions import SESSION, SessionEvent, SessionState
from sessionlayer.protocol.values import (
    Arrival,
    Checked,
    Connection,
    Departure,
    Failed,
    Moved,
    Path,
    Rebinding,
    Rebound,
)
from tests.sessionlayer.protocol.fake_tcp import End, Kernel, Network, Place, reversed_path

UDP_PORT = 7000


class Shell:
    """One machine. ``failures`` is the share of kernel work that fails."""

    def __init__(self, network: Network, home: str, rng: random.Random) -> None:
        self.network = network
        self.kernel = Kernel(network)
        self.home = home
        self.random = rng
        self.failures = 0.0
        self.addresses = [home]
        self.association: Association
        self.peer: Shell
        self.ends: dict[bytes, End] = {}
        self.by_connection: dict[Connection, End] = {}
        self.asked: dict[bytes, tuple[Place, bool]] = {}
        self.captured: list[tuple[bytes, Path]] = []
        self.log: list[Command] = []
        self.exported: dict[bytes, dict[str, bytes]] = {}
        self.places: dict[bytes, set[Place]] = {}
        self.probes_answered = 0
        self._busy: set[bytes] = set()
        self._busy_until = 0.0
        self._ports = 20_000
        self._generation = 0

    # What happens to the machine.

    def be_busy(self, until: float) -> None:
        """Let the daemon do nothing for a while; what is sent to it waits."""
        self._busy_until = max(self._busy_until, until)

    def next_deadline(self) -> float:
        return max(self.association.next_deadline(), self._busy_until)

    def handle_timer(self) -> None:
        self.carry_out(self.association.handle_timer(self.network.now))

    def receive(self, datagram: bytes, path: Path) -> None:
        if self.network.now < self._busy_until:
            self.network.at(self._busy_until, lambda: self.receive(datagram, path))
            return
        self.captured.append((datagram, path))
        self.carry_out(self.association.receive(datagram, path, self.network.now))

    def crash(self, association: Association) -> None:
        """Lose the daemon; work on sockets that it had begun ends unheard."""
        self._generation += 1
        self.association = association
        self.asked.clear()
        for session_id, end in self.ends.items():
            end.frozen |= association.session_state(session_id) is SessionState.PARKED
        for session_id, values in self.exported.items():  # as programs say it to a daemon that is back
            association.export(session_id, values)

    def lose_address(self, address: str) -> None:
        self.addresses.remove(address)
        self.network.alive.discard(address)

    def gain_address(self, address: str) -> None:
        self.addresses.append(address)
        self.network.alive.add(address)

    # What the machine wants.

    def probe(self, address: str) -> None:
        """Ask the peer's home for a sign of life from ``address``."""
        path = Path(local_address=address, remote_address=self.peer.home, remote_port=UDP_PORT)
        self.carry_out(self.association.probe(path, self.network.now)[1])

    def move(self, session_id: bytes, address: str) -> None:
        """Move a session to ``address``, ahead of the answer where the old path is certainly dead."""
        if self.network.now < self._busy_until:
            return
        if SessionEvent.ASK not in SESSION[self.association.session_state(session_id)]:
            return
        end = self.ends[session_id]
        place = (address, self._port())
        old_place_gone = end.local[0] not in self.network.alive and end.acknowledged == end.sent
        in_place = old_place_gone and session_id not in self._busy and self.random.random() < 0.5
        if in_place:
            end.restore(place, end.remote, end.sent, window=False)
        else:
            end.frozen = True
            self._keep_quiet(session_id, place)
        self.asked[session_id] = (place, in_place)
        departure = Departure(
            session_id=session_id,
            address=place[0],
            port=place[1],
            received=end.received,
            sent=end.sent,
            in_place=in_place,
        )
        _ids, commands = self.association.move([departure], self._path(address), self.network.now)
        self.carry_out(commands)

    def export(self, session_id: bytes, values: dict[str, bytes]) -> None:
        """Let a program export something, to be told when its session has moved."""
        self.exported[session_id] = values
        self.association.export(session_id, values)

    def supervise(self) -> None:
        """Move what cannot stay where it is or go where it was going, as the engine would decide."""
        if self.association.path.local_address not in self.addresses:
            self.association.use_path(self._path(self.home))
        for session_id, end in self.ends.items():
            state = self.association.session_state(session_id)
            going, _in_place = self.asked.get(session_id, (end.local, False))
            place = going if state is SessionState.ASKING else end.local
            if state is SessionState.PARKED or place[0] not in self.network.alive:
                self.move(session_id, self.random.choice(self.addresses))

    # What the protocol wants.

    def carry_out(self, commands: Iterable[Command]) -> None:
        for command in commands:
            self.log.append(command)
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case SendDatagram():
                self._send(command)
            case CheckAdoption():
                results = [
                    Checked(
                        session_id=p.session_id,
                        reason=None if p.connection in self.by_connection else "no such connection",
                    )
                    for p in command.proposals
                ]
                self._later(lambda: self.association.adoption_checked(results))
            case SessionAdopted():
                self.ends[command.session_id] = self.by_connection[command.connection]
            case AdoptionRefused():
                self.carry_out(self.association.adopt([command.connection], self.network.now))
            case RebindForPeer():
                for rebinding in command.entries:
                    self._begin(rebinding.session_id, self._rebind, rebinding)
            case FinishMove():
                for arrival in command.entries:
                    self._begin(arrival.session_id, self._finish, arrival)
            case MoveRefused():
                if command.thaw:
                    self.ends[command.session_id].thaw()
                    self._in_place(command.session_id)
            case FreezeHeld():
                self.ends[command.session_id].frozen = True
            case ReleaseHeld():
                end = self.ends[command.session_id]
                if command.mover_in_place or end.sent != end.acknowledged:
                    end.thaw()  # what was sent since went out because the mover was heard
                else:
                    end.restore(end.local, end.remote, end.acknowledged, window=False)
            case SessionReleased():
                self.ends.pop(command.session_id).thaw()  # it is plain TCP again
                self._in_place(command.session_id)
            case AttributesImported() | PeerSilent() | PeerHeard() | PathValidated() | PathFailed():
                pass
            case ProbeAnswered():
                self.probes_answered += 1
            case _:
                assert_never(command)

    def _send(self, command: SendDatagram) -> None:
        source = command.path.local_address or self.home
        arrival = reversed_path(command.path, source, UDP_PORT)
        self.network.carry(
            source, command.path.remote_address, lambda: self.peer.receive(command.data, arrival)
        )

    def _begin(self, session_id: bytes, work: Callable[..., None], order: Rebinding | Arrival) -> None:
        # A socket in repair mode neither sends nor hears.
        end = self.ends[session_id]
        was_frozen, end.frozen = end.frozen, True
        generation = self._generation
        self._busy.add(session_id)

        def done() -> None:
            self._busy.discard(session_id)
            if generation == self._generation:
                work(end, order, was_frozen)

        self.network.at(self.network.now + self.random.uniform(0.001, 0.030), done)

    def _rebind(self, end: End, order: Rebinding, was_frozen: bool) -> None:
        if self.random.random() < self.failures:
            end.frozen = was_frozen
            self.carry_out(self._rebound(Failed(session_id=order.session_id, reason="no")))
            return
        peer_end = self.peer.ends[order.session_id]
        assert order.in_place or order.received == peer_end.received, "what the mover received was not pinned"
        local = order.wanted or end.local
        if local[0] not in self.network.alive:
            local = (self.random.choice(self.addresses), self._port())
        window = order.in_place and local == end.local
        if window and end.remote == (order.address, order.port):
            end.thaw()  # followed before our daemon crashed: the connection has gone on since
        else:
            end.restore(local, (order.address, order.port), order.received, window=window)
        self._in_place(order.session_id)
        if window:
            end.probe()
        result = Rebound(session_id=order.session_id, address=local[0], port=local[1], received=end.received)
        self.carry_out(self._rebound(result))

    def _finish(self, end: End, order: Arrival, _was_frozen: bool) -> None:
        place, in_place = self.asked[order.session_id]
        if self.random.random() < self.failures:
            self.carry_out(self._moved(Failed(session_id=order.session_id, reason="no")))
            return
        peer_end = self.peer.ends[order.session_id]
        if in_place and end.remote == (order.address, order.port):
            end.frozen = False  # restored before; the window opens when the peer is heard
            end.probe_at = self.network.now
        else:
            assert order.received == peer_end.received, "what the peer received was not pinned"
            end.restore(place, (order.address, order.port), order.received, window=True)
            end.probe()
        self._in_place(order.session_id)
        self.carry_out(self._moved(Moved(session_id=order.session_id)))

    def _rebound(self, result: Rebound | Failed) -> tuple[Command, ...]:
        commands = self.association.rebound([result], self.network.now)
        self.association.tell_exported(result.session_id, self.network.now)
        return commands

    def _moved(self, result: Moved | Failed) -> tuple[Command, ...]:
        commands = self.association.moved([result], self.network.now)
        self.association.tell_exported(result.session_id, self.network.now)
        return commands

    def _report(self, generation: int, report: Callable[[], tuple[Command, ...]]) -> None:
        if generation == self._generation:
            self.carry_out(report())

    def _later(self, report: Callable[[], tuple[Command, ...]]) -> None:
        generation = self._generation
        delay = self.random.uniform(0.0, 0.010)
        self.network.at(self.network.now + delay, lambda: self._report(generation, report))

    def _keep_quiet(self, session_id: bytes, place: Place) -> None:
        """Drop what comes in at a place that the peer is asked to follow to, until we are somewhere."""
        self.places.setdefault(session_id, set()).add(place)
        self.kernel.quiet.add(place)

    def _in_place(self, session_id: bytes) -> None:
        self.kernel.quiet -= self.places.pop(session_id, set())

    def _path(self, address: str) -> Path:
        peer = self.association.path
        return Path(local_address=address, remote_address=peer.remote_address, remote_port=peer.remote_port)

    def _port(self) -> int:
        self._ports += 1
        return self._ports
