"""What programs say of their sessions, and what the silence of a peer's daemon says, decides about links."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from itertools import count

import pytest

from migrated.control.client import RefusedError
from migrated.control.messages import Explain, ExplanationReport, KeepAlive
from migrated.lab import SERVER_V4
from sessionlayer.application.messages import SOCKET_NAME
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program

POLICY = """\
monitor-policy {
    score-interface * 1
    score-interface eth0 5
    on proto tcp adopt
    settle 100ms
    when healthy = no score-interface eth0 never
    when keepalive-age > 4s score-interface eth0 never
    when peer-silence >= 2s until peer-silence < 1s {
        notify
    }
}
"""
PATIENCE_S = 60.0
SILENT_S = 8.0
"""Within it a program is moved that says nothing for 4 s, on a machine that is busy for a moment too."""

IDLE_SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as listener:
    print("listening", flush=True)
    listener.accept()[0].recv(1)
"""
IDLE_CLIENT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2]))).recv(1)
"""

_ports = count(3001)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("health"), policy=POLICY) as arena:
        yield arena
    for daemon in (arena.here, arena.there):
        assert daemon.complaints() == []


class Patient:
    """A program on the client that says how it is, and a server that keeps its connection."""

    def __init__(self, arena: Arena, style: str) -> None:
        self.arena = arena
        port = str(next(_ports))
        talker = [sys.executable, str(PROGRAMS / "talker.py")]
        self.server = Program(arena.net.server, [*talker, "blocking", "listen", SERVER_V4, port, "50000"])
        self.server.line(r"listening (\d+)", PATIENCE_S)
        variable = f"MIGRATE_APPLICATION_SOCKET={arena.here.folder / 'run' / SOCKET_NAME}"
        patient = ["env", variable, sys.executable, str(PROGRAMS / "patient.py"), SERVER_V4, port, style]
        self.program = Program(arena.net.client, patient)
        self.session = self.program.line("session (.*)", PATIENCE_S)[1]

    def tell(self, number: signal.Signals) -> None:
        """Have the program say something else from now on, or nothing."""
        self.program.process.send_signal(number)

    def await_link(self, link: str, since: int) -> None:
        """Wait until its session has moved to a link."""
        self.arena.here.await_event("moved", since=since, session=self.session, to=link)

    def end(self) -> None:
        """End both programs."""
        for program in (self.program, self.server):
            program.process.kill()
            program.process.wait()


@pytest.fixture(params=["threads", "asyncio"])
def patient(arena: Arena, request: pytest.FixtureRequest) -> Iterator[Patient]:
    patient = Patient(arena, request.param)
    yield patient
    patient.end()


def test_a_program_that_is_unwell_is_moved_and_moved_back(patient: Patient) -> None:
    here = patient.arena.here
    mark = here.mark()
    time.sleep(0.5)
    patient.tell(signal.SIGUSR1)
    patient.await_link("ppp0", mark)
    assert here.await_event("unwell", since=mark, session=patient.session).fields["reason"] == "no picture"
    mark = here.mark()
    patient.tell(signal.SIGHUP)
    patient.await_link("eth0", mark)
    here.await_event("well", since=mark, session=patient.session)


@pytest.mark.alone
def test_a_program_that_says_nothing_any_more_is_moved(patient: Patient) -> None:
    here = patient.arena.here
    mark = here.mark()
    time.sleep(5.0)
    assert here.since(mark, "moved") == [], "it says that all is well"
    patient.tell(signal.SIGUSR2)
    begun = time.monotonic()
    patient.await_link("ppp0", mark)
    took_s = time.monotonic() - begun
    assert 2.0 <= took_s < SILENT_S, "what it said last may be some time ago on a busy machine"
    assert here.since(mark, "unwell") == []


def test_somebody_speaks_for_a_program(arena: Arena) -> None:
    talk = arena.session_of("blocking", server_style="blocking", bytes_per_s=50_000)
    mark = arena.here.mark()
    arena.here.ask(KeepAlive(session=talk.session, healthy=False, reason="x" * 1000))
    arena.here.await_event("moved", since=mark, session=talk.session, to="ppp0")
    told = arena.here.await_event("unwell", since=mark, session=talk.session)
    assert told.fields["reason"] == "x" * 200
    mark = arena.here.mark()
    arena.here.ask(KeepAlive(session=talk.session, healthy=True))
    arena.here.await_event("moved", since=mark, session=talk.session, to="eth0")
    with pytest.raises(RefusedError):
        arena.here.ask(KeepAlive(session="00", healthy=True))
    talk.finish()


@pytest.fixture
def idle(arena: Arena) -> Iterator[str]:
    """A session whose programs never say anything."""
    port = str(next(_ports))
    server = Program(arena.net.server, [sys.executable, "-c", IDLE_SERVER, SERVER_V4, port])
    server.line("listening", PATIENCE_S)
    client = Program(arena.net.client, [sys.executable, "-c", IDLE_CLIENT, SERVER_V4, port])
    yield arena.here.await_event("adopted", peer=f"{SERVER_V4}:{port}").fields["session"]
    for program in (client, server):
        program.process.kill()
        program.process.wait()


@pytest.mark.alone
def test_a_silent_peer_is_known_within_3_s_whether_its_session_is_idle_or_not(
    arena: Arena, idle: str
) -> None:
    talk = arena.session_of()
    sessions = (idle, talk.session)
    _wait(arena, sessions, silent=False)
    with arena.there.busy():
        begun = time.monotonic()
        _wait(arena, sessions, silent=True)
        assert time.monotonic() - begun < 3.5, "3 s, and what it takes to ask"
    begun = time.monotonic()
    _wait(arena, sessions, silent=False)
    assert time.monotonic() - begun < 2.5, "a heartbeat and a look"
    talk.finish()


def _wait(arena: Arena, sessions: tuple[str, ...], *, silent: bool) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(_silent(arena, session) is not silent for session in sessions):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _silent(arena: Arena, session: str) -> bool:
    report = arena.here.ask(Explain(session=session))
    assert isinstance(report, ExplanationReport)
    (row,) = [row for row in report.read().conditions if row.text.startswith("peer-silence >=")]
    return row.holds
