"""Two associations and a link that loses nothing unless told to: tests read as a script of both sides."""

from __future__ import annotations

import random
from typing import TypeVar

from sessionlayer.protocol.association import Association
from sessionlayer.protocol.commands import CheckAdoption, Command, SendDatagram, SessionAdopted
from sessionlayer.protocol.session import SessionRecord
from sessionlayer.protocol.transitions import SessionState
from sessionlayer.protocol.values import Checked, Connection, Departure, Path, Rebound, Role
from tests.sessionlayer.protocol.pairs import UDP_PORT, host_keys, shake_hands

HOMES = ("10.0.0.1", "10.0.0.2")
CONNECTION = Connection(
    local_address=HOMES[0], local_port=40_000, remote_address=HOMES[1], remote_port=22, role=Role.CLIENT
)
NEW, OTHER_NEW = "10.9.0.1", "10.9.0.2"
CommandT = TypeVar("CommandT")


class Playbook:
    """``sides[0]`` opened the association and, unless told otherwise, the connection."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.keys = host_keys(self.random)
        self.now = 100.0
        both = shake_hands(self.random, self.keys, HOMES)
        self.sides = [
            Association(
                result, path=self.path(HOMES[n], HOMES[1 - n]), entropy=self.random.randbytes, now=self.now
            )
            for n, result in enumerate(both)
        ]
        self.in_flight: list[tuple[int, bytes, Path]] = []

    def path(self, local: str, remote: str) -> Path:
        return Path(local_address=local, remote_address=remote, remote_port=UDP_PORT)

    def take(self, side: int, commands: tuple[Command, ...]) -> list[Command]:
        """Put what ``side`` sends on the link; return the other commands."""
        for command in commands:
            if isinstance(command, SendDatagram):
                arrival = self.path(command.path.remote_address, command.path.local_address or HOMES[side])
                self.in_flight.append((1 - side, command.data, arrival))
        return [command for command in commands if not isinstance(command, SendDatagram)]

    def deliver(self) -> dict[int, list[Command]]:
        """Deliver all that is in flight, and what is sent in answer; return what each side is to do."""
        wanted: dict[int, list[Command]] = {0: [], 1: []}
        while self.in_flight:
            side, datagram, path = self.in_flight.pop(0)
            wanted[side] += self.take(side, self.sides[side].receive(datagram, path, self.now))
        return wanted

    def lose(self) -> int:
        """Lose all that is in flight; return how many datagrams that were."""
        lost = len(self.in_flight)
        self.in_flight.clear()
        return lost

    def wait(self, seconds: float, side: int) -> list[Command]:
        """Let time pass for one side, timer by timer; return what it is to do."""
        end, wanted = self.now + seconds, list[Command]()
        while (deadline := self.sides[side].next_deadline()) <= end:
            self.now = max(self.now, deadline)
            wanted += self.take(side, self.sides[side].handle_timer(self.now))
        self.now = end
        return wanted

    def adopted(self) -> bytes:
        """Make ``CONNECTION`` a session; return its id."""
        self.take(0, self.sides[0].adopt([CONNECTION], self.now))
        check = only(self.deliver()[1], CheckAdoption)
        checked = [Checked(session_id=p.session_id, reason=None) for p in check.proposals]
        self.take(1, self.sides[1].adoption_checked(checked))
        return only(self.deliver()[0], SessionAdopted).session_id

    def restart(self, side: int, records: tuple[SessionRecord, ...] | None = None) -> None:
        """Start one daemon again, with ``records`` or else all its own; the other goes on with new keys."""
        other = 1 - side
        both = shake_hands(self.random, self.keys, HOMES)
        kept = self.sides[side].records() if records is None else records
        path = self.path(HOMES[other], HOMES[side])
        self.take(other, self.sides[other].renew(both[other], path, self.now))
        self.sides[side] = Association(
            both[side],
            path=self.path(HOMES[side], HOMES[other]),
            entropy=self.random.randbytes,
            now=self.now,
            sessions=kept,
        )

    def states(self, session_id: bytes) -> tuple[SessionState, SessionState]:
        """Return what is under way in a session on both sides."""
        first, second = (side.session_state(session_id) for side in self.sides)
        return first, second

    def move(self, side: int, session_id: bytes, address: str, *, in_place: bool = False) -> list[Command]:
        """Have one side ask for a move to ``address``, with ``received`` 1000 and ``sent`` 2000."""
        departure = Departure(
            session_id=session_id, address=address, port=50_000, received=1000, sent=2000, in_place=in_place
        )
        path = self.path(address, HOMES[1 - side])
        return self.take(side, self.sides[side].move([departure], path, self.now)[1])


def only(commands: list[Command], kind: type[CommandT]) -> CommandT:
    """Return the one command of a kind."""
    (found,) = [command for command in commands if isinstance(command, kind)]
    return found


def rebound(session_id: bytes, address: str = HOMES[1], port: int = 22) -> list[Rebound]:
    """Return what a shell says that followed the peer."""
    return [Rebound(session_id=session_id, address=address, port=port, received=3000)]
