"""The counters, as real processes with an unmodified client and a scripted daemon."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import pytest

from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import (
    GetSession,
    Granted,
    KeepRunning,
    RegisterAttachHandler,
    RegisterHandler,
    Suspend,
)
from sessionlayer.continuations.codec import encode
from tests.processes import killed_at_last
from tests.sessionlayer.application.fake_daemon import SESSION, FakeDaemon

ROOT = Path(__file__).parents[2]
COUNTER = ROOT / "examples" / "counter"
WAIT_S = 60
ANY_PORT = "0"
LISTENS = "0A"
"""As /proc/net/tcp has it (TCP_LISTEN in include/net/tcp_states.h)."""

SUSPEND = Suspend(session=SESSION, because=("no-link",), deadline_s=5.0, required=True)


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with TemporaryDirectory() as folder, FakeDaemon(Path(folder)) as found:
        yield found


@contextmanager
def program(
    name: str,
    *arguments: str,
    folder: Path = COUNTER,
    path: str = "",
    stdin: int | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "MIGRATE_APPLICATION_SOCKET": path or "/nowhere", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(folder / name), *arguments]
    started = subprocess.Popen(
        command, env={**environment, **variables}, stdin=stdin, cwd=ROOT, close_fds=False
    )
    with killed_at_last(started) as process:
        yield process


def port_of(process: subprocess.Popen[bytes]) -> int:
    """Wait until a program listens, and return where: a port that was chosen before may be taken by then."""
    while process.poll() is None:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTENS and f"socket:[{inode}]" in opened(process.pid):
                return int(local.rpartition(":")[2], 16)
        time.sleep(0.01)
    raise AssertionError("the program has ended")


def opened(pid: int) -> Iterator[str]:
    """Yield what a process has open."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            yield str(descriptor.readlink())


def connected(process: subprocess.Popen[bytes]) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(process)), timeout=WAIT_S)


def numbers(client: socket.socket, count: int) -> list[int]:
    with client.makefile("rb", buffering=0) as lines:
        return [int(lines.readline()) for _ in range(count)]


@pytest.mark.parametrize("name", ["plain.py", "suspendable.py"])
def test_it_counts_also_where_there_is_no_daemon(name: str) -> None:
    with program(name, ANY_PORT) as process, connected(process) as client:
        assert numbers(client, 4) == [0, 1, 2, 3]


def test_the_index_goes_on_without_a_gap_or_a_repeat(daemon: FakeDaemon) -> None:
    with program("suspendable.py", ANY_PORT, path=daemon.path) as process, connected(process) as client:
        daemon.grant_session()
        daemon.grant(daemon.expect(RegisterHandler).number)
        before = numbers(client, 3)
        daemon.say(SUSPEND)
        daemon.grant(daemon.expect(RegisterAttachHandler).number)
        record, descriptors = daemon.take_continuation()
        client.setblocking(False)
        daemon.invoke(record, descriptors)
        client.settimeout(WAIT_S)
        daemon.grant_session()
        daemon.grant(daemon.expect(RegisterHandler).number)
        after = numbers(client, int(record.attributes["index"]) - len(before) + 3)
    assert before + after == list(range(len(before + after)))


def test_another_process_goes_on_with_the_index(daemon: FakeDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=WAIT_S)
        served, _ = server.accept()
    name = "suspendable_process.py"
    with client, served:
        with program(name, path=daemon.path, stdin=served.fileno()) as process:
            daemon.grant_session()
            daemon.grant(daemon.expect(RegisterHandler).number)
            before = numbers(client, 3)
            daemon.say(SUSPEND)
            daemon.expect(KeepRunning)
            record, descriptors = daemon.take_continuation()
            assert process.wait(WAIT_S) == 0
        conversation = daemon.converse()
        os.set_inheritable(conversation, True)
        continued = {"MIGRATE_CONT": str(conversation), "MIGRATE_PID": str(process.pid)}
        with program(name, path=daemon.path, variables=continued) as process:
            request = daemon.expect(GetSession)
            memory = write_memory(encode(record))
            granted = Granted(
                number=request.number, session=SESSION, peer="192.0.2.1 port 80", continued=True
            )
            daemon.say(granted, (memory, *descriptors))
            daemon.grant(daemon.expect(RegisterHandler).number)
            after = numbers(client, int(record.attributes["index"]) - len(before) + 3)
        for descriptor in (memory, conversation, *descriptors):
            os.close(descriptor)
    assert before + after == list(range(len(before + after)))


def test_the_counter_needs_no_more_than_ten_lines() -> None:
    counted = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "count_lines.py")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    added = dict(re.findall(r"^(counter(?: process)?) +\d+ +(\d+)", counted, re.MULTILINE))
    assert set(added) == {"counter", "counter process"}
    assert all(0 < int(lines) <= 10 for lines in added.values())
    assert "OpenSSH, in the paper     38,885     459      1.18 %" in counted


@pytest.mark.parametrize("program", ["counter/plain", "counter/suspendable", "event_stream/plain"])
def test_without_a_port_the_usage_is_said(program: str) -> None:
    file = str(ROOT / "examples" / f"{program}.py")
    done = subprocess.run([sys.executable, file], stderr=subprocess.PIPE, text=True, timeout=WAIT_S)
    assert (done.returncode, done.stderr) == (1, f"usage: python {file} PORT\n")
