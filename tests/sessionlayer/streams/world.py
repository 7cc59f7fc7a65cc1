"""Two ends of a session over a network that dies at any byte; everything follows from one seed."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams.channel import ControlChannel
from sessionlayer.streams.client import ClientSession
from sessionlayer.streams.connection import Connection
from sessionlayer.streams.events import Admitted, Closed, Ended, Lost, Silent
from sessionlayer.streams.openings import (
    ANSWER_HEAD,
    CONTROL,
    OPENING_HEAD,
    answer_length,
    opening_length,
    parse_opening,
)
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.secrets import control_keys
from sessionlayer.streams.server import ServerSession
from sessionlayer.streams.session import Session, new_state
from sessionlayer.streams.transitions import ConnectionPhase, SessionPhase

OPTIONS = StreamOptions()
END = object()


class Wire:
    """One TCP connection: two queues of bytes. Killed, it still delivers a part of what was under way."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.flying = (bytearray(), bytearray())  # to the server, to the client
        self.shut = [False, False]
        self.dead = False
        self.closed = [False, False]  # by the client, by the server

    def send(self, *, client: bool, data: bytes) -> None:
        if not self.dead and not self.closed[not client]:
            self.flying[not client].extend(data)

    def read(self, *, client: bool, count: int) -> bytes:
        queue = self.flying[client]
        data = bytes(queue[:count])
        del queue[:count]
        return data

    def kill(self, rng: random.Random) -> None:
        self.dead = True
        for queue in self.flying:
            del queue[rng.randint(0, len(queue)) :]


@dataclass
class Program:
    """What one end's program wants to send on one connection, and what it got."""

    to_send: deque[bytes] = field(default_factory=deque)
    sent: bytearray = field(default_factory=bytearray)
    got: bytearray = field(default_factory=bytearray)
    ends: int = 0
    lost: list[object] = field(default_factory=list)


class End:
    """The fake shell of one end."""

    def __init__(self, world: World, session: Session, *, client: bool) -> None:
        self.world = world
        self.session = session
        self.client = client
        self.control: Wire | None = None
        self.data: dict[int, Wire] = {}
        self.programs: dict[int, Program] = {}
        self.parsing: dict[Wire, bytearray] = {}
        self.closed: list[Closed] = []

    @property
    def name(self) -> int:
        return 0 if self.client else 1

    def pump(self) -> None:
        while effects := self.session.take_effects():
            for effect in effects:
                match effect:
                    case Ended():
                        self.programs[effect.number].ends += 1
                    case Lost():
                        self.programs[effect.number].lost.append(effect.error)
                        wire = self.data.pop(effect.number, None)
                        if wire:
                            self.close(wire)
                    case Silent():
                        self.drop_all()
                    case Closed():
                        self.closed.append(effect)
                    case Admitted() | _:
                        pass
        if self.control:
            self.control.send(client=self.client, data=self.session.control_output())

    def close(self, wire: Wire) -> None:
        wire.closed[self.name] = True
        wire.dead = True
        self.parsing.pop(wire, None)

    def drop_all(self) -> None:
        if self.control:
            self.close(self.control)
            self.lose_control()
        for number in list(self.data):
            self.close(self.data.pop(number))

    def lose_control(self) -> None:
        self.control = None
        self.session.lose_control("the wire died", self.world.now)

    def send(self, connection: Connection) -> None:
        wire = self.data.get(connection.number)
        if wire is None or (self.client and connection.phase is ConnectionPhase.OPENING):
            return
        if not self.client and connection.phase is not ConnectionPhase.OPEN:
            return
        room = self.world.rng.choice((0, 1, 100, 5000, 50_000))
        while room and (buffers := connection.ring.buffers()):
            piece = bytes(buffers[0][:room])
            wire.send(client=self.client, data=piece)
            connection.ring.sent(len(piece))
            room -= len(piece)
        if connection.end is not None and not connection.ring.unsent:
            wire.shut[not self.client] = True

    def deliver(self, connection: Connection, data: bytes) -> None:
        fresh = connection.receive(data)
        if not connection.closing:
            self.programs[connection.number].got += fresh
        self.session.received(connection, self.world.now)

    def arrived(self, wire: Wire, data: bytes) -> None:
        if wire is self.control:
            self.session.receive_control(data, self.world.now)
        elif wire in self.parsing:
            self.parsing[wire] += data
            self.world.greet(self, wire)
        else:
            for number, mine in list(self.data.items()):
                if mine is wire:
                    self.deliver(self.session.connections[number], data)
        self.pump()

    def read_some(self, wire: Wire, count: int) -> None:
        if not wire.closed[self.name]:
            data = wire.read(client=self.client, count=count)
            if data:
                self.arrived(wire, data)

    def retire(self, number: int) -> None:
        """Drain a part of the older transport (a program may not be reading), then close it."""
        wire = self.data.pop(number, None)
        if wire:
            if wire not in self.parsing:
                data = wire.read(client=self.client, count=self.world.rng.choice((0, 10, 10**9)))
                self.deliver(self.session.connections[number], data)
            self.close(wire)

    def notice(self, wire: Wire) -> None:
        """See that a wire is dead, having read what it still had."""
        self.read_some(wire, 10**9)
        self.close(wire)
        if wire is self.control:
            self.lose_control()
        for number, mine in list(self.data.items()):
            if mine is wire:
                del self.data[number]
        self.pump()

    def freeze_and_restore(self) -> None:
        for wire in self.world.wires:
            if not wire.closed[self.name]:
                self.close(wire)
        self.data.clear()
        self.control = None
        state = self.session.state({}, "host", 1, self.world.now)
        self.session = type(self.session)(state, OPTIONS, self.world.rng.randbytes, self.world.now)
        self.pump()


class World:
    """A client, a server, the wires between them, and the clock."""

    def __init__(self, seed: int, connections: int, volume: int, *, sealed: bool = False) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.wires: list[Wire] = []
        self.made = 0
        self.pending_control: Wire | None = None
        key, peer = self.rng.randbytes(32), self.rng.randbytes(32)
        self.ends = tuple(
            End(
                self,
                (ClientSession if client else ServerSession)(
                    new_state(key, peer, "host", 1, client=client), OPTIONS, self.rng.randbytes, self.now
                ),
                client=client,
            )
            for client in (True, False)
        )
        self.client, self.server = self.ends
        self.recorded: list[bytes] = []
        first = self.wire()
        for end in self.ends:
            end.control = first
            end.session.begin_control(ControlChannel(*control_keys(key, client=end.client)), self.now)
        for _ in range(connections):
            connection = self.dialing.open(b"purpose", sealed=sealed)
            for end in self.ends:
                end.programs[connection.number] = self.program(volume)

    @property
    def dialing(self) -> ClientSession:
        assert isinstance(self.client.session, ClientSession)
        return self.client.session

    @property
    def judging(self) -> ServerSession:
        assert isinstance(self.server.session, ServerSession)
        return self.server.session

    def program(self, volume: int) -> Program:
        rng, program, left = self.rng, Program(), volume
        while left > 0:
            size = min(left, rng.choice((1, 7, 64, 1500, 20_000, 70_000)))
            program.to_send.append(rng.randbytes(size))
            left -= size
        return program

    def wire(self) -> Wire:
        self.made += 1
        wire = Wire(self.made)
        self.wires.append(wire)
        return wire

    # -- what can happen ---------------------------------------------------------------------------------

    def dial_control(self) -> None:
        wire = self.wire()
        self.client.parsing[wire] = bytearray()
        self.server.parsing[wire] = bytearray()
        opening = self.dialing.control_opening()
        self.recorded.append(opening)
        self.pending_control = wire
        wire.send(client=True, data=opening)

    def dial_data(self, connection: Connection) -> None:
        wire = self.wire()
        self.client.parsing[wire] = bytearray()
        self.server.parsing[wire] = bytearray()
        self.client.data[connection.number] = wire
        opening = self.dialing.data_opening(connection)
        self.recorded.append(opening)
        wire.send(client=True, data=opening)
        self.client.send(connection)

    def greet(self, end: End, wire: Wire) -> None:
        try:
            if end.client:
                self.greet_client(wire)
            else:
                self.greet_server(wire)
        except RemoteProtocolError:
            end.close(wire)
            for number, mine in list(end.data.items()):
                if mine is wire:
                    del end.data[number]

    def greet_client(self, wire: Wire) -> None:
        client = self.client
        buffer = client.parsing[wire]
        if len(buffer) < ANSWER_HEAD.size:
            return
        length = ANSWER_HEAD.size + answer_length(bytes(buffer[: ANSWER_HEAD.size]))
        if len(buffer) < length:
            return
        del client.parsing[wire]
        answer, rest = bytes(buffer[:length]), bytes(buffer[length:])
        if wire is self.pending_control:
            self.dialing.control_answered(answer, self.now)
            client.control = wire
        else:
            number = next((n for n, mine in client.data.items() if mine is wire), None)
            if number is None:
                client.close(wire)
                return
            connection = client.session.connections[number]
            if not self.dialing.data_answered(connection, answer):
                client.data.pop(number, None)
                client.close(wire)
        if rest:
            client.arrived(wire, rest)

    def greet_server(self, wire: Wire) -> None:
        server, session = self.server, self.judging
        buffer = server.parsing[wire]
        if len(buffer) < OPENING_HEAD.size:
            return
        head = bytes(buffer[: OPENING_HEAD.size])
        length = OPENING_HEAD.size + opening_length(head)
        if len(buffer) < length:
            return
        opening = parse_opening(head, bytes(buffer[OPENING_HEAD.size : length]))
        rest = bytes(buffer[length:])
        body = session.authenticate(opening)
        if opening.connection == CONTROL:
            answer = session.accept_control(opening, self.now)
            if server.control:
                server.close(server.control)
            server.control = wire
        else:
            server.retire(opening.connection)
            connection, answer = session.accept_data(opening, body)
            if connection is None or connection.phase is ConnectionPhase.GONE:
                del server.parsing[wire]
                wire.send(client=False, data=answer)
                return
            server.data[opening.connection] = wire
            answer = answer or session.admit(connection)
        del server.parsing[wire]
        wire.send(client=False, data=answer)
        if rest:
            server.arrived(wire, rest)

    def replay_an_opening(self) -> None:
        """An attacker repeats what it has seen: the server refuses, and nothing changes."""
        wire = self.wire()
        self.server.parsing[wire] = bytearray()
        opening = self.rng.choice(self.recorded)
        newest = {n: c.generation for n, c in self.server.session.connections.items()}
        wire.send(client=True, data=opening)
        self.server.read_some(wire, 10**9)
        if wire not in self.server.data.values() and wire is not self.server.control:
            assert newest == {n: c.generation for n, c in self.server.session.connections.items()}
        self.wires.remove(wire)

    def step(self, *, calm: bool) -> None:
        rng = self.rng
        for end in self.ends:
            self.let_programs_write(end)
        for wire in list(self.wires):
            for end in rng.sample(self.ends, 2):
                if rng.random() < 0.7:
                    end.read_some(wire, 10**9 if calm else rng.choice((1, 30, 60, 1000, 100_000)))
        if not calm:
            self.disturb()
        self.notice_deaths(calm=calm)
        self.dial(calm=calm)
        self.now += 0.01
        for end in self.ends:
            if self.now >= end.session.next_deadline():
                end.session.handle_timer(self.now)
            end.pump()
        self.wires = [wire for wire in self.wires if not all(wire.closed)]

    def let_programs_write(self, end: End) -> None:
        for number, connection in list(end.session.connections.items()):
            program = end.programs[number]
            if connection.phase is ConnectionPhase.OPEN and connection.end is None:
                if program.to_send and self.rng.random() < 0.5:
                    data = program.to_send.popleft()
                    program.sent += data
                    connection.write(data)
                elif not program.to_send:
                    end.session.finish(connection)
            end.send(connection)
        end.pump()

    def disturb(self) -> None:
        rng = self.rng
        for wire in self.wires:
            if rng.random() < 0.04:
                wire.kill(rng)
        if rng.random() < 0.02:
            rng.choice(self.ends).freeze_and_restore()
        if rng.random() < 0.05 and self.recorded:
            self.replay_an_opening()

    def notice_deaths(self, *, calm: bool) -> None:
        for wire in list(self.wires):
            for end in self.ends:
                if wire.dead and not wire.closed[end.name] and (calm or self.rng.random() < 0.3):
                    end.notice(wire)

    def dial(self, *, calm: bool) -> None:
        client = self.client
        if client.session.phase is SessionPhase.CLOSED:
            return
        if client.control is None and (calm or self.rng.random() < 0.5):
            waiting = self.pending_control
            if not waiting or waiting not in client.parsing or (not calm and self.rng.random() < 0.1):
                self.dial_control()
        for number, connection in list(client.session.connections.items()):
            unsure = not calm and self.rng.random() < 0.02  # a newer one while the older still lives
            if unsure and number in client.data:
                client.retire(number)
            if number not in client.data and connection.phase is not ConnectionPhase.RESET:
                self.dial_data(connection)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step(calm=False)
        for _ in range(4000):
            self.step(calm=True)
            if not any(end.session.connections for end in self.ends):
                return
        raise AssertionError(f"not finished: {[end.session.connections for end in self.ends]}")
