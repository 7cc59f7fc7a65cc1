"""Conversations that are in trouble: crowds of sessions, links that flap, and what became of everything."""

from __future__ import annotations

import signal
import sys
import time
from itertools import count
from typing import Any

from migrated.control.observations import FactList, Facts
from migrated.lab import SERVER_V4, Access
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program

PREFERRED, OTHER = "eth0", "ppp0"
POLICY = f"""\
monitor-policy {{
    score-interface {PREFERRED} 10
    score-interface {OTHER} 5
    on proto tcp adopt
}}
"""
"""One link is better than the other; all else is as shipped."""

HARDLY_ANYTHING = 1
"""Bytes a second of a crowd that says something once and is idle from then on."""

_PATIENCE_S = 60.0
_ports = count(4001)


class Crowd:
    """Connections of one program to another, all of them sessions, that check their data."""

    def __init__(self, arena: Arena, number: int, bytes_per_s: float) -> None:
        self._arena = arena
        port = str(next(_ports))
        words = [SERVER_V4, port, str(bytes_per_s)]
        crowd = [sys.executable, str(PROGRAMS / "crowd.py"), str(number)]
        mark = arena.here.mark()
        self.server = Program(arena.net.server, [*crowd, "listen", *words])
        self.server.line("listening")
        self.client = Program(arena.net.client, [*crowd, "connect", *words])
        for program in (self.client, self.server):  # from then on it hears signals
            program.line("connected")
        arena.here.await_event("adopted", since=mark, count=number, peer=f"{SERVER_V4}:{port}")
        found = arena.here.since(mark, "adopted", peer=f"{SERVER_V4}:{port}")
        self.sessions = {event.fields["session"] for event in found}
        for session in self.sessions:
            arena.there.await_event("adopted", session=session)

    def await_all(self, name: str, since: int, **fields: str) -> float:
        """Wait until something has happened to all of its sessions, and return the time (monotonic, s)."""
        for session in self.sessions:
            wanted: dict[str, Any] = {"session": session, **fields}
            self._arena.here.await_event(name, since=since, **wanted)
        return time.monotonic()

    def happened(self, since: int, *names: str) -> dict[str, int]:
        """Return how often one of these things happened to each of its sessions."""
        events = [event for name in names for event in self._arena.here.since(since, name)]
        return {s: sum(event.fields.get("session") == s for event in events) for s in self.sessions}

    def finish(self) -> None:
        """End it, and check that nothing was lost or changed on the way."""
        for program in (self.client, self.server):
            program.process.send_signal(signal.SIGUSR1)
        results = self.client.result(), self.server.result()
        assert [status for status, _ in results] == [0, 0], results


def await_proven(arena: Arena, links: tuple[str, ...] = (PREFERRED, OTHER)) -> None:
    """Wait until the client's daemon has heard the other through these links, and lost nothing of late."""
    deadline = time.monotonic() + _PATIENCE_S
    while any(losses(arena).get(link) != 0 for link in links):
        assert time.monotonic() < deadline, losses(arena)
        time.sleep(0.05)


def losses(arena: Arena) -> dict[str, float]:
    """Return the loss on each link to the server, in percent, where it is known."""
    report = arena.here.ask(Facts(names=("loss",)))
    assert isinstance(report, FactList)
    return {fact.interface: float(fact.value or 0) for fact in report.facts}


def flap(link: Access, *, up_s: float, down_s: float, for_s: float, dead: bool = False) -> None:
    """Have a link go and come, and leave it whole; ``dead``: it stays up and leads nowhere meanwhile."""
    end = time.monotonic() + for_s
    due = time.monotonic()
    while due < end:
        for action, lasts_s in (
            (link.lose if dead else link.cut, down_s),
            (link.deliver if dead else link.plug, up_s),
        ):
            action()
            due += lasts_s
            time.sleep(max(0.0, due - time.monotonic()))
