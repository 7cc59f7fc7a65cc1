"""The suspendable shell server with a scripted daemon: a process ends, another serves OpenSSH's client on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sessionlayer.application.channel import close_all
from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import (
    GetSession,
    Granted,
    RegisterCompatibility,
    RegisterHandler,
    Resume,
    Suspend,
)
from sessionlayer.continuations.codec import encode
from sessionlayer.continuations.values import Continuation
from tests.examples.openssh import PATIENCE_S, Keys
from tests.examples.test_shell_server import keys, running, say, ssh
from tests.processes import killed_at_last
from tests.sessionlayer.application.fake_daemon import SESSION, FakeDaemon

__all__ = ["keys"]

SERVER = "examples.shell_server.suspendable"
SUSPEND = Suspend(session=SESSION, because=("no-link",), deadline_s=5.0, required=True)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with TemporaryDirectory() as folder, FakeDaemon(Path(folder)) as found:
        monkeypatch.setenv("MIGRATE_APPLICATION_SOCKET", found.path)
        yield found


@contextmanager
def serving(keys: Keys, daemon: FakeDaemon | None = None) -> Iterator[int]:
    """Run the server; give its port."""
    with running(keys.server(SERVER, "--port", "0")) as output:
        if daemon is not None:
            vector = daemon.expect(RegisterCompatibility)
            assert {tag.name for tag in vector.tags} == {"CPython", "asyncssh"}
            daemon.grant(vector.number)
        yield int(output.line().rpartition(" ")[2])


def accept(daemon: FakeDaemon) -> None:
    daemon.grant_session()
    daemon.grant(daemon.expect(RegisterHandler).number)


@contextmanager
def continued(
    daemon: FakeDaemon, record: Continuation, descriptors: Sequence[int]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process of a continuation as the daemon does, and give it what it asks for."""
    conversation = daemon.converse()
    assert record.process is not None
    environment = {**record.process.environment, "MIGRATE_CONT": str(conversation), "MIGRATE_PID": "1"}
    started = subprocess.Popen(
        record.process.argv, env=environment, pass_fds=[conversation], cwd=record.process.directory
    )
    with killed_at_last(started) as process:
        os.close(conversation)
        request = daemon.expect(GetSession)
        memory = write_memory(encode(record))
        granted = Granted(number=request.number, session=SESSION, peer="192.0.2.1 port 80", continued=True)
        daemon.say(granted, (memory, *descriptors))
        close_all((memory, *descriptors))
        daemon.grant(daemon.expect(RegisterHandler).number)
        yield process
        process.wait(PATIENCE_S)


def test_a_shell_outlives_its_servers_process(keys: Keys, daemon: FakeDaemon) -> None:
    with serving(keys, daemon) as port, ssh(keys, port, "-tt", "exec bash --norc") as (client, output):
        accept(daemon)
        say(client, "stty -echo; secret=41; echo parent$((0)):$PPID:")
        output.until(b"parent0:")
        parent = output.until(b":")
        daemon.say(SUSPEND)
        record, descriptors = daemon.take_continuation()
        assert record.descriptors == ("connection", "terminal 0", "status 0")
        assert sum(map(len, record.attributes.values())) < 1024
        say(client, "echo $((secret + 1)):parent0:$PPID:")  # it comes while there is no process
        with continued(daemon, record, descriptors):
            output.until(b"42:parent0:")
            assert output.until(b":") == parent
            say(client, "exit 9")
    assert client.returncode == 9


def test_output_goes_on_where_it_was(keys: Keys, daemon: FakeDaemon) -> None:
    command = "read start; seq 1 1000000; exit 3"
    with serving(keys, daemon) as port, ssh(keys, port, "-T", command) as (client, output):
        accept(daemon)
        say(client, "start")
        received = output.until(b"\n200000\n")
        daemon.say(SUSPEND)
        record, descriptors = daemon.take_continuation()
        with continued(daemon, record, descriptors):
            received += output.rest()
    assert received == b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    assert client.returncode == 3


def test_a_refused_continuation_leaves_the_process_to_go_on(keys: Keys, daemon: FakeDaemon) -> None:
    with serving(keys, daemon) as port, ssh(keys, port, "-T", "cat; exit 5") as (client, output):
        accept(daemon)
        say(client, "hello")
        output.until(b"hello\n")  # no keys are being exchanged any more
        daemon.say(SUSPEND)
        daemon.deny_continuation()
        say(client, "still there")
        output.until(b"still there\n")  # it serves on at once
        daemon.say(Resume(session=SESSION))
        assert client.stdin is not None
        client.stdin.close()
    assert client.returncode == 5


def test_a_connection_without_a_shell_is_suspended_too(keys: Keys, daemon: FakeDaemon) -> None:
    with serving(keys, daemon) as port, ssh(keys, port, "-N") as (client, _):
        accept(daemon)
        daemon.say(SUSPEND)
        record, descriptors = daemon.take_continuation()
        assert record.descriptors == ("connection",)
        with continued(daemon, record, descriptors):
            client.terminate()


def test_without_a_daemon_it_is_the_plain_server(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATE_APPLICATION_SOCKET", os.devnull)
    with serving(keys) as port, ssh(keys, port, "-T", "echo here; exit 4") as (client, output):
        assert output.rest() == b"here\n"
    assert client.returncode == 4
