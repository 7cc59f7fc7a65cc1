"""What the program at one end exports, the program at the other end has when the session goes on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from migrated.lab import SERVER_V4
from sessionlayer.application.messages import SOCKET_NAME
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program
from tests.migrated.e2e.daemons import PROGRAM, Daemon

PATIENCE_S = 60.0
_PATIENT = """
import migrated.applications.exports, migrated.daemon
migrated.applications.exports.WAIT_S = 10.0
migrated.daemon.main()
"""
PATIENT = ("-c", _PATIENT)
"""A daemon that waits for what its peer has announced however busy that one is, not for 50 ms."""

ROUNDS = 5

_ports = count(3951)


class Exporting:
    """A program at each end of a connection."""

    def __init__(self, arena: Arena, client_style: str, server_style: str) -> None:
        self.arena = arena
        self.gives_up = server_style in ("internal", "complete")
        port = str(next(_ports))
        self.server = _program(arena.there, server_style, "listen", port)
        self.server.line("listening", PATIENCE_S)
        self.client = _program(arena.here, client_style, "connect", port)
        self.session = self.client.line(r"session (\w+)", PATIENCE_S)[1]
        self.server.line(f"session {self.session}", PATIENCE_S)

    def cut(self) -> None:
        for link in self.arena.links:
            link.cut()
        for program in (self.client, self.server):
            said(program, "suspended")
        if self.gives_up:
            self.arena.there.await_event("given-up", session=self.session)

    def plug(self) -> None:
        self.arena.link("ppp0").plug()

    def end(self) -> None:
        for program in (self.client, self.server):
            program.process.kill()
            program.process.wait()


def _program(daemon: Daemon, style: str, role: str, port: str) -> Program:
    path = daemon.folder / "run" / SOCKET_NAME
    exporter = [sys.executable, str(PROGRAMS / "exporter.py"), style, role, SERVER_V4, port]
    return Program(daemon.host, ["env", f"MIGRATE_APPLICATION_SOCKET={path}", *exporter])


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("arena"), program=PATIENT) as arena:
        yield arena
    for daemon in (arena.here, arena.there):
        assert daemon.complaints() == []


@pytest.fixture(scope="module", autouse=True)
def associated(arena: Arena) -> None:
    """Have the two daemons know each other: both ends ask at once for their first session otherwise."""
    arena.session_of().finish()


@pytest.fixture
def exporting(arena: Arena) -> Iterator[Callable[[str, str], Exporting]]:
    """Start two programs of these styles; they end after the test."""
    with ExitStack() as stack:

        def start(client_style: str, server_style: str) -> Exporting:
            found = Exporting(arena, client_style, server_style)
            stack.callback(found.end)
            return found

        yield start


Starts = Callable[[str, str], Exporting]


def restart(arena: Arena) -> None:
    arena.there.kill()
    arena.there.start()


def said(program: Program, pattern: str) -> str:
    """Wait for a line that matches; what is imported is told with every move, as one to a better link."""
    line = "imported"
    while line.startswith("imported") and not re.fullmatch(pattern, line):
        line = program.line(".*", PATIENCE_S)[0]
    assert re.fullmatch(pattern, line), line
    return line


def goes_on(program: Program, how: str, imported: str) -> None:
    said(program, f"{how} {imported}")


def test_both_programs_have_the_others_values_when_they_are_told_of_the_resumption(exporting: Starts) -> None:
    ends = exporting("keep", "keep")
    for times in (1, 2):
        ends.cut()
        ends.plug()
        goes_on(ends.client, "resumed", f"times={times}")
        goes_on(ends.server, "resumed", f"times={times}")


@pytest.mark.alone
def test_values_are_there_as_soon_as_a_program_is_told_of_the_resumption(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Arena(tmp_path_factory.mktemp("prompt"), program=PROGRAM) as arena:
        arena.session_of().finish()
        ends = Exporting(arena, "keep", "keep")

        def prompt(times: int) -> bool:
            """Return whether both are told of each other's values with a resumption, not after it."""
            ends.cut()
            ends.plug()
            told = [said(program, "resumed .*") for program in (ends.client, ends.server)]
            return told == 2 * [f"resumed times={times}"]

        assert any(prompt(times) for times in range(1, ROUNDS + 1))
        ends.end()


@pytest.mark.parametrize(("style", "how"), [("internal", "invoked"), ("complete", "continued")])
def test_a_continuation_has_the_peers_values_and_its_own_are_told(
    exporting: Starts, style: str, how: str
) -> None:
    ends = exporting("keep", style)
    ends.cut()
    ends.plug()
    goes_on(ends.client, "resumed", "times=1")
    goes_on(ends.server, how, "times=1")


def test_a_daemon_that_was_killed_meanwhile_hears_again_from_programs(
    arena: Arena, exporting: Starts
) -> None:
    ends = exporting("keep", "keep")
    ends.cut()
    restart(arena)
    said(ends.server, "suspended")  # the new daemon asks the handler again
    ends.plug()
    goes_on(ends.client, "resumed", "times=2")
    goes_on(ends.server, "resumed", "times=1")


def test_a_daemon_that_was_killed_meanwhile_finds_it_in_continuations(
    arena: Arena, exporting: Starts
) -> None:
    ends = exporting("keep", "complete")
    ends.cut()
    restart(arena)
    ends.plug()
    goes_on(ends.client, "resumed", "times=1")
    goes_on(ends.server, "continued", "times=1")


def test_a_program_without_a_handler_sees_what_changes(arena: Arena, exporting: Starts) -> None:
    ends = exporting("watch", "watch")
    arena.move_session(ends.session, "ppp0")
    goes_on(ends.client, "imported", "times=1")
    goes_on(ends.server, "imported", "times=1")
