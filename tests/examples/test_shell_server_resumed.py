"""The shell server with real daemons: links are cut and plugged in, OpenSSH's client notices nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from migrated.lab import SERVER_V4, is_privileged
from sessionlayer.application.messages import SOCKET_NAME
from tests.examples.openssh import PATIENCE_S, Keys, Output
from tests.examples.test_shell_server import ROOT, say
from tests.migrated.e2e.arena import Arena

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

TICKING = "while sleep 0.1; do printf .; done"
"""What is said in vain lets the server know that its client is away."""

REACHING = """
import socket, sys, time
for attempt in range(1200):
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2]))).close()
        break
    except OSError:
        time.sleep(0.05)
"""
"""Waits until neighbours that a test before has lost are found again."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("shell")) as arena:
        yield arena


@contextmanager
def shell(arena: Arena, keys: Keys, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Output, str]]:
    """Run the server and ssh(1); give ssh, its output, and the session's id."""
    path = arena.there.folder / "run" / SOCKET_NAME
    environment = {**os.environ, "MIGRATE_APPLICATION_SOCKET": str(path)}
    command = keys.server("examples.shell_server.suspendable", "--port", "0")
    pipe = subprocess.PIPE
    server = arena.net.server.popen(command, stdout=pipe, cwd=ROOT, env=environment)
    port = int(Output.of(server).line().rpartition(" ")[2])
    arena.net.client.run([sys.executable, "-c", REACHING, SERVER_V4, str(port)])
    mark = arena.there.mark()
    client = arena.net.client.popen(
        keys.client(port, *arguments, host=SERVER_V4),
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )
    session = arena.there.await_event("adopted", since=mark).fields["session"]
    arena.here.await_event("adopted", session=session)  # or its answer is cut off
    yield client, Output.of(client), session
    for program in (client, server):
        program.kill()
        program.communicate()
    arena.heal()


def cut(arena: Arena, session: str) -> None:
    """Cut the client off, until the server has given the session up."""
    mark = arena.there.mark()
    for link in arena.links:
        link.cut()
    arena.there.await_event("given-up", since=mark, session=session, kind="complete")


def plug(arena: Arena, session: str) -> None:
    """Let the client back, until the server goes on."""
    mark = arena.there.mark()
    arena.link("ppp0").plug()
    arena.there.await_event("invoked", since=mark, session=session)


def test_a_shell_goes_on_after_outages(arena: Arena, keys: Keys) -> None:
    with shell(arena, keys, "-tt", "exec bash --norc") as (client, output, session):
        say(client, f"stty -echo; secret=40; {TICKING} & echo begin$((0))")
        output.until(b"begin0")
        for number in range(2):
            cut(arena, session)
            say(client, f"echo $((secret += 1)):{number}:")  # typed while there is neither link nor server
            plug(arena, session)
            output.until(f"{41 + number}:{number}:".encode())
        say(client, "kill %1; exit 9")
        assert client.wait(PATIENCE_S) == 9


def test_all_output_before_during_and_after_an_outage_arrives(
    arena: Arena, keys: Keys, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    command = f"seq 1 200000; while ! test -e {back}; do printf .; sleep 0.1; done; seq 1 200000; exit 3"
    with shell(arena, keys, "-T", command) as (client, output, session):
        received = output.until(b"\n200000\n")
        cut(arena, session)
        plug(arena, session)
        back.touch()
        received += output.rest()
        assert client.wait(PATIENCE_S) == 3
    lines = b"".join(b"%d\n" % number for number in range(1, 200_001))
    assert received.replace(b".", b"") == lines + lines
    assert received.count(b".") > 10


@pytest.mark.parametrize("ended", ["killed", "stopped"])
def test_a_shell_outlives_the_daemon_that_keeps_its_terminal(arena: Arena, keys: Keys, ended: str) -> None:
    with shell(arena, keys, "-tt", "exec bash --norc") as (client, output, session):
        say(client, f"stty -echo; secret=40; {TICKING} & echo pid$((0)):$$:")
        output.until(b"pid0:")
        pid = output.until(b":")
        cut(arena, session)
        say(client, "echo $((secret += 1)):$$:")
        mark = arena.there.mark()
        if ended == "killed":
            arena.there.kill()
        else:
            arena.there.stop()
        arena.there.start()
        arena.there.await_event("restored", since=mark, session=session)
        plug(arena, session)
        output.until(b"41:" + pid)
        cut(arena, session)  # and again, with the custodian that a daemon before has started
        arena.there.kill()
        arena.there.start()
        plug(arena, session)
        say(client, "kill %1; exit $((secret - 32))")
        assert client.wait(PATIENCE_S) == 9
    assert not arena.there.since(mark, "custody")
