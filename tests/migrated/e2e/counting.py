"""A counter on the server that knows Migrate, and an ordinary client of it that checks every number."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from migrated.lab import SERVER_V4
from sessionlayer.application.messages import SOCKET_NAME
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program

_ports = count(3001)

PATIENCE_S = 60.0
"""A restarted daemon may have to shake hands a few times over links that have just come back.

Nothing is measured by it: it ends a test that would wait for ever, on a machine that is busy with others too.
"""

EXAMPLE = Path(__file__).parents[3] / "examples" / "counter" / "suspendable.py"

READER = """
import socket, sys, time
for attempt in range(100):  # neighbours may have to be found again after the test before
    try:
        sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
        break
    except OSError:
        time.sleep(0.1)
with sock, sock.makefile() as lines:
    print("connected", flush=True)
    expected = int(next(lines)) + 1
    for line in lines:
        if int(line) != expected:
            print("wrong", line.strip(), "instead of", expected, flush=True)
            sys.exit(1)
        print("received", expected, flush=True)
        expected += 1
"""


class Counting:
    """A counter of one style on the server, and a client of it."""

    def __init__(self, arena: Arena, style: str, port: str = "") -> None:
        self.arena = arena
        port = port or str(next(_ports))
        path = str(arena.there.folder / "run" / SOCKET_NAME)
        if style == "example":
            variable = f"MIGRATE_APPLICATION_SOCKET={path}"
            self.server = Program(arena.net.server, ["env", variable, sys.executable, str(EXAMPLE), port])
        else:
            counter = [sys.executable, str(PROGRAMS / "counter.py"), style, port, path]
            self.server = Program(arena.net.server, counter)
            self.server.line("listening", PATIENCE_S)
        self.client = Program(arena.net.client, [sys.executable, "-c", READER, SERVER_V4, port])
        self.client.line("connected", PATIENCE_S)
        adopted = arena.here.await_event("adopted", peer=f"{SERVER_V4}:{port}")
        self.session = str(adopted.fields["session"])
        arena.there.await_event("adopted", session=self.session)
        if style != "example":
            self.server.line(f"session {self.session}", PATIENCE_S)
        self.progresses()

    def progresses(self) -> None:
        """Wait until the client has received more than it has now; it checks the numbers itself."""
        self.client.await_received(self.client.received + 5, PATIENCE_S)

    def cut(self) -> None:
        """Cut the client's links, and wait until both ends are suspended."""
        for link in self.arena.links:
            link.cut()
        self.server.line("suspended", PATIENCE_S)

    def plug(self) -> None:
        """Plug one of the client's links in."""
        self.arena.link("ppp0").plug()

    def end(self) -> None:
        """End both programs."""
        for program in (self.client, self.server):
            program.process.kill()
            program.process.wait()


Counts = Callable[..., Counting]
"""Takes the style, and if it matters the port."""


@pytest.fixture
def counts(arena: Arena) -> Iterator[Counts]:
    """Start counters of a style; they end after the test."""
    with ExitStack() as stack:

        def start(style: str, port: str = "") -> Counting:
            counting = Counting(arena, style, port)
            stack.callback(counting.end)
            return counting

        yield start
