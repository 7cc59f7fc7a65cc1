"""Programs that are suspended and resumed on the benchmarks' stage, and when each step of that happened."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from _stage import ADOPTED_PORT, BenchmarkError, Daemon, Running, Stage

from migrated.control.continuations import ContinuationReport, ShowContinuation
from migrated.lab import SERVER_V4
from sessionlayer.application.channel import VARIABLE
from sessionlayer.application.messages import SOCKET_NAME

ROOT = Path(__file__).parent.parent
HERE = Path(__file__).parent
PORT = str(ADOPTED_PORT)

LIMIT_S = 60.0
"""How long one step may take: nothing is measured by it."""

CALM_S = 0.5
"""How long new sessions run before anything happens to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Once suspended and resumed: when what happened to one session, in seconds since the epoch.

    Attributes:
        cut: the cables of the client's links were pulled.
        suspended: the server's daemon had frozen the connection, and told the program.
        giving: the program gave its continuation to the library.
        given_up: it was on disk, the connection released, and the program told.
        plugged: the client's daemon knew of its link.
        moving: the client's daemon had decided.
        followed: the server's daemon had made the connection again, where the client is now.
        told: the library in the program, or in the one that was started, had the session.
        called: the program's own code had it.
        resumed: the client's daemon was done.
        heard: the first byte that the program wrote afterwards was read by the client's program.
    """

    cut: float
    suspended: float
    giving: float
    given_up: float
    plugged: float
    moving: float
    followed: float
    told: float
    called: float
    resumed: float
    heard: float


class Client(Protocol):
    """A program on the client's host that is served by a suspendable one."""

    def heard(self, port: str, index: str, after: float) -> float:
        """Return when the first byte arrived that was written after the session had been resumed.

        Args:
            port: that of the connection's own end when it began.
            index: the number with which the session goes on, if it sends numbers.
            after: when the session had been given up.
        """

    def close(self) -> None:
        """End it."""


class Hearer:
    """An ordinary client with so many connections (`_hear.py`)."""

    def __init__(self, stage: Stage, count: int = 1, *, limit_s: float = LIMIT_S) -> None:
        self._heard: dict[tuple[str, str], float] = {}
        self._arrived: Counter[str] = Counter()
        self._changed = threading.Condition()
        words = [sys.executable, "-I", str(HERE / "_hear.py"), SERVER_V4, PORT, str(count)]
        self._program = Running(stage.net.client, words, on_line=self._hear)
        self._program.await_ready(limit_s)

    def await_all(self, what: str, count: int, limit_s: float) -> float:
        """Wait until a number has arrived at so many connections, and return when it last did.

        Raises:
            BenchmarkError: it did not.
        """

        def all_there() -> bool:
            return self._arrived[what] >= count

        with self._changed:
            if not self._changed.wait_for(all_there, limit_s):
                raise BenchmarkError(f"`{what}` arrived at {self._arrived[what]} of {count} connections only")
            return max(at for (_, heard), at in self._heard.items() if heard == what)

    def heard(self, port: str, index: str, after: float) -> float:
        """Return when a number arrived at a connection; wait for it.

        Raises:
            BenchmarkError: it did not arrive.
        """
        del after  # the number tells
        with self._changed:
            if not self._changed.wait_for(lambda: (port, index) in self._heard, LIMIT_S):
                last = [key for key in self._heard if key[0] == port][-3:]
                raise BenchmarkError(f"`{index}` did not arrive at port {port}; last of all {last}")
            return self._heard[port, index]

    def close(self) -> None:
        self._program.close()

    def _hear(self, line: str) -> None:
        moment, port, what = line.split()
        with self._changed:
            self._heard[port, what] = float(moment)
            self._arrived[what] += 1
            self._changed.notify_all()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program of the server's that sends numbers; ``forks`` says that each client has a process."""

    argv: tuple[str, ...]
    forks: bool = False


class Suspendable:
    """A program on the server, and a client with so many connections to it.

    Args:
        stage: where they run.
        program: the server's.
        count: of connections.
        connect: starts another client than the counter's, with so many connections.
    """

    def __init__(
        self,
        stage: Stage,
        program: Program,
        count: int = 1,
        connect: Callable[[Stage, int], Client] | None = None,
    ) -> None:
        self.stage = stage
        marks = stage.marks()
        self._stamps = stage.server.folder / "stamps"
        self._stamps.write_bytes(b"")
        self.server = Running(
            stage.net.server, program.argv, environment=environment(stage.server, self._stamps)
        )
        with ExitStack() as stack:
            stack.callback(self.server.close)
            self.client = connect(stage, count) if connect is not None else Hearer(stage, count)
            stack.callback(self.client.close)
            self.ports = _adopted(stage, marks, count)
            if isinstance(self.client, Hearer):
                self.client.await_all("3", count, LIMIT_S)  # all programs are served, and have their sessions
            time.sleep(CALM_S)
            self._stack = stack.pop_all()

    def cycle(self, observe: Callable[[], None] = lambda: None) -> list[Cycle]:
        """Suspend and resume all sessions; ``observe`` is called in between.

        Raises:
            BenchmarkError: they were not suspended, or did not come back.
        """
        stage, began = self.stage, self._stamps.stat().st_size
        marks = stage.marks()
        cut = time.time()
        for link in reversed(stage.net.links):  # the one that is not in use first: nobody moves to it
            link.cut()
        times = {name: self._times(stage.server, name, marks[1]) for name in ("suspended", "given-up")}
        indices = {session: self.index(session) for session in self.ports}
        observe()
        marks = stage.marks()
        plugged = plug(stage)
        times |= {name: self._times(stage.client, name, marks[0]) for name in ("moving", "resumed")}
        times |= {name: self._times(stage.server, name, marks[1]) for name in ("followed", "invoked")}
        heard = {
            session: self.client.heard(port, indices[session], times["given-up"][session])
            for session, port in self.ports.items()
        }
        stamps = self._stamped(began)
        return [
            Cycle(
                cut=cut,
                suspended=times["suspended"][session],
                giving=stamps["giving", session],
                given_up=times["given-up"][session],
                plugged=plugged,
                moving=times["moving"][session],
                followed=times["followed"][session],
                told=stamps["told", session],
                called=stamps["called", session],
                resumed=times["resumed"][session],
                heard=heard[session],
            )
            for session in self.ports
        ]

    def _times(self, daemon: Daemon, name: str, since: int) -> dict[str, float]:
        """Return when an event happened to each session; wait for all."""
        events = daemon.await_events(name, since, len(self.ports), timeout_s=LIMIT_S)
        return {str(event.fields["session"]): event.time for event in events}

    def _stamped(self, began: int) -> dict[tuple[str, str], float]:
        lines = self._stamps.read_bytes()[began:].decode().splitlines()
        return {(what, session): float(at) for at, what, session in map(str.split, lines)}

    def index(self, session: str) -> str:
        """Return the number that a suspended session goes on with, or nothing."""
        report = self.stage.server.ask(ShowContinuation(session=session, values=True))
        assert isinstance(report, ContinuationReport)
        return next((a.value for a in report.attributes if a.name == "index" and a.value), b"").decode()

    def close(self) -> None:
        self._stack.close()


def environment(daemon: Daemon, stamps: Path) -> dict[str, str]:
    """Return what programs on a daemon's host need to find it, and to start as they do once installed."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(daemon.folder / "compiled")}
    found = {VARIABLE: str(daemon.folder / SOCKET_NAME), "PYTHONPATH": str(ROOT)}
    return {**os.environ, **compiled, **found, "BENCHMARK_STAMPS": str(stamps)}


_FOLDER = ROOT / "examples" / "counter"
STAMPED = (sys.executable, str(HERE / "_stamped.py"))
_INETD = (sys.executable, "-I", str(HERE / "_inetd.py"), PORT)

PLAIN = Program(argv=(sys.executable, str(_FOLDER / "plain.py"), PORT))
INTERNAL = Program(argv=(*STAMPED, str(_FOLDER / "suspendable.py"), PORT))
PLAIN_PROCESS = Program(argv=(*_INETD, sys.executable, str(_FOLDER / "plain_process.py")), forks=True)
COMPLETE = Program(argv=(*_INETD, *STAMPED, str(_FOLDER / "suspendable_process.py")), forks=True)


def plug(stage: Stage) -> float:
    """Plug the client's first link in; return when its daemon knew."""
    link = stage.net.links[0]
    stage.net.client.ip(f"neigh flush dev {link.interface}")
    mark = len(stage.client.events)
    link.plug()
    return stage.client.await_event("link-up", mark, link=link.interface).time


def _adopted(stage: Stage, marks: tuple[int, int], count: int) -> dict[str, str]:
    """Wait until all connections are sessions; return the client's port of each session."""
    stage.client.await_events("adopted", marks[0], count, timeout_s=LIMIT_S)
    events = stage.server.await_events("adopted", marks[1], count, timeout_s=LIMIT_S)
    return {str(e.fields["session"]): str(e.fields["peer"]).rpartition(":")[2] for e in events}
