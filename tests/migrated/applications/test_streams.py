"""Sessions of virtual streams whose server's process ends, with a daemon that has no right at all."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from migrated.control.client import UnreachableError, request
from migrated.control.continuations import ContinuationList, Continuations, ExpireContinuation
from migrated.control.messages import Done, Status, StatusReport
from sessionlayer.aio import HostKey, StreamOptions, connect
from sessionlayer.application import channel
from sessionlayer.application.capture import this_process
from sessionlayer.application.channel import VARIABLE
from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import (
    Answer,
    CreateSession,
    Denied,
    GetSession,
    Granted,
    Request,
    ReturnContinuation,
)
from sessionlayer.continuations.codec import encode
from sessionlayer.continuations.values import Continuation
from tests.sessionlayer.application.test_alone import Door

SERVER, CLIENT = HostKey.generate(os.urandom), HostKey.generate(os.urandom)
OPTIONS = StreamOptions(silence_s=60, expire_s=600)  # nobody counts as away who is only slow
PROGRAM = Path(__file__).with_name("stream_counter.py")
SESSION = bytes(range(16))
START_S = 60.0


class Host:
    """A daemon without capabilities, and the program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = folder / "run" / "control.sock"
        text = 'policy = []\nstate_folder = "state"\nruntime_folder = "run"\nplugins = false\n'
        (folder / "migrated.toml").write_text(text)
        self._running: list[subprocess.Popen[bytes]] = []

    def start_daemon(self) -> subprocess.Popen[bytes]:
        arguments = ["--config", str(self.folder / "migrated.toml"), "--without-kernel"]
        daemon = subprocess.Popen([sys.executable, "-m", "migrated", *arguments])
        self._running.append(daemon)
        until(self._answers)
        return daemon

    def start_program(self) -> int:
        environment = os.environ | {VARIABLE: str(self.folder / "run" / "application.sock")}
        arguments = [sys.executable, str(PROGRAM), SERVER.to_text(), str(self.folder)]
        self._running.append(subprocess.Popen(arguments, env=environment))
        until((self.folder / "port").exists)
        return int((self.folder / "port").read_text())

    def pids(self) -> list[int]:
        return [int(line) for line in (self.folder / "pids").read_text().split()]

    def continuations(self) -> ContinuationList:
        found = request(self.control, Continuations())
        assert isinstance(found, ContinuationList)
        return found

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        for pid in self.pids()[1:] if (self.folder / "pids").exists() else ():
            if is_ours(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def program_has_ended(self) -> bool:
        return self._running[1].poll() == 0

    def _answers(self) -> bool:
        try:
            return isinstance(request(self.control, Status()), StatusReport)
        except UnreachableError:
            return False


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_ours(pid: int) -> bool:
    """Return whether a process is one of the program, and not another that has its number now."""
    try:
        return PROGRAM.name in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    found = Host(tmp_path)
    try:
        yield found
    finally:
        found.end()


async def read_on(reader: asyncio.StreamReader, first: int, count: int = 50) -> int:
    for expected in range(first, first + count):
        async with asyncio.timeout(START_S):
            assert int(await reader.readline()) == expected
    return first + count


@pytest.mark.parametrize("killed", [False, True])
def test_a_process_is_started_anew_when_its_client_knocks(host: Host, killed: bool) -> None:
    async def client() -> None:
        daemon = host.start_daemon()
        door = Door(host.start_program())
        port = await door.start()
        session = await connect("127.0.0.1", port, identity=CLIENT, judge=lambda key: "", options=OPTIONS)
        reader, _ = await session.open_connection()
        seen = await read_on(reader, 0)
        for outage in (1, 2):
            door.shut()
            await asyncio.to_thread(until, lambda: not is_running(host.pids()[-1]))
            (summary,) = host.continuations().continuations
            assert (summary.session, summary.kind) == (session.id.hex(), "complete")
            if killed:
                daemon.kill()
                daemon.wait()
                daemon = host.start_daemon()
            assert len(host.pids()) == outage
            door.open()
            session.retry_now()
            seen = await read_on(reader, seen, 300)
            assert len(host.pids()) == outage + 1
            assert host.continuations().continuations == ()
        session.abort()
        await door.stop()

    asyncio.run(client())


def test_a_session_is_given_up_by_hand(host: Host) -> None:
    async def client() -> None:
        host.start_daemon()
        door = Door(host.start_program())
        port = await door.start()
        session = await connect("127.0.0.1", port, identity=CLIENT, judge=lambda key: "", options=OPTIONS)
        reader, _ = await session.open_connection()
        await read_on(reader, 0)
        door.shut()
        await asyncio.to_thread(until, host.program_has_ended)
        answer = request(host.control, ExpireContinuation(session=session.id.hex()))
        assert isinstance(answer, Done)
        assert host.continuations().continuations == ()
        assert len(host.pids()) == 1
        session.abort()
        await door.stop()

    asyncio.run(client())


def test_the_daemon_says_that_it_moves_no_connections(host: Host) -> None:
    host.start_daemon()
    report = request(host.control, Status())
    assert isinstance(report, StatusReport)
    assert report.no_kernel.startswith("no kernel rebinding: ")
    assert report.control_port == 0


class Program:
    """A program that says what it likes."""

    def __init__(self, host: Host) -> None:
        self._sock = channel.connect(str(host.folder / "run" / "application.sock"))
        self._sock.settimeout(START_S)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *reason: object) -> None:
        self._sock.close()

    def ask(self, message: Request, descriptors: tuple[int, ...] = ()) -> Answer:
        channel.send(self._sock, message, descriptors)
        answer, received = channel.receive(self._sock)
        channel.close_all(received)
        return answer

    def refused(self, message: Request, descriptors: tuple[int, ...] = ()) -> str:
        answer = self.ask(message, descriptors)
        assert isinstance(answer, Denied)
        return answer.code

    def give_up(self, continuation: Continuation, descriptors: tuple[int, ...] = ()) -> str:
        memory = write_memory(encode(continuation))
        try:
            return self.refused(ReturnContinuation(number=2, session=SESSION), (memory, *descriptors))
        finally:
            os.close(memory)


def test_two_daemons_without_the_kernel_are_in_nobodys_way(host: Host, tmp_path: Path) -> None:
    host.start_daemon()
    folder = tmp_path / "other"
    folder.mkdir()
    other = Host(folder)
    try:
        other.start_daemon()
    finally:
        other.end()


def test_what_is_no_continuation_of_a_stream_is_refused(host: Host) -> None:
    host.start_daemon()
    process = this_process()
    with Program(host) as program, socket.create_server(("127.0.0.1", 0)) as listener:
        assert program.refused(CreateSession(number=1, session=b"short")) == "bad-request"
        assert program.give_up(Continuation(process=process)) == "unknown-session"
        assert isinstance(program.ask(CreateSession(number=1, session=SESSION)), Granted)
        number = listener.fileno()
        named = ("migrate:listener-0",)
        assert program.give_up(Continuation(process=process)) == "no-connection"
        assert program.give_up(Continuation(descriptors=named), (number,)) == "bad-request"
        assert program.give_up(Continuation(descriptors=named, process=process)) == "bad-request"
        connection = Continuation(descriptors=("connection",), process=process)
        assert program.give_up(connection, (number,)) == "bad-request"
        expiring = Continuation(descriptors=named, process=process, on_expiry=True)
        assert program.give_up(expiring, (number,)) == "bad-request"
    assert host.continuations().continuations == ()


def test_a_connection_is_refused_at_once(host: Host) -> None:
    host.start_daemon()
    with (
        Program(host) as program,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connection,
    ):
        assert program.refused(GetSession(number=1, wait_s=60), (connection.fileno(),)) == "no-kernel"


@pytest.mark.slow
def test_a_process_that_can_not_be_started_costs_the_session_in_the_end(host: Host) -> None:
    """It is tried a few times; then the client is told by a port where nobody listens."""
    host.start_daemon()
    process = replace(this_process(), argv=("/nowhere/program",))
    continuation = Continuation(descriptors=("migrate:listener-0",), process=process)
    memory = write_memory(encode(continuation))
    with Program(host) as program, socket.create_server(("127.0.0.1", 0)) as listener:
        program.ask(CreateSession(number=1, session=SESSION))
        answer = program.ask(ReturnContinuation(number=2, session=SESSION), (memory, listener.fileno()))
        assert isinstance(answer, Granted)
        address = listener.getsockname()
    os.close(memory)
    socket.create_connection(address).close()
    until(lambda: host.continuations().continuations == ())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
