"""The counters with real daemons: a link is cut and plugged in, and an ordinary client misses no number."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from migrated.lab import SERVER_V4, is_privileged
from sessionlayer.application.messages import SOCKET_NAME
from tests.migrated.e2e.arena import Arena, Program

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

ROOT = Path(__file__).parents[2]
COUNTER = ROOT / "examples" / "counter"
PATIENCE_S = 60.0
_ports = count(3001)

READER = """
import socket, sys, time
for attempt in range(1200):
    try:
        sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
        break
    except OSError:
        time.sleep(0.05)
expected = 0
with sock, sock.makefile() as lines:
    for line in lines:
        if int(line) != expected:
            print("wrong", line.strip(), "instead of", expected, flush=True)
            sys.exit(1)
        print("received", expected, flush=True)
        expected += 1
"""

INETD = """
import os, socket, sys
with socket.create_server(("", int(sys.argv[1]))) as server:
    connection, _ = server.accept()
os.dup2(connection.fileno(), 0)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("counter")) as arena:
        yield arena


def start(arena: Arena, *arguments: str) -> Program:
    path = arena.there.folder / "run" / SOCKET_NAME
    variables = [f"MIGRATE_APPLICATION_SOCKET={path}", f"PYTHONPATH={ROOT}"]
    return Program(arena.net.server, ["env", *variables, sys.executable, *arguments])


@pytest.mark.parametrize("kind", ["internal", "complete"])
def test_the_index_goes_on(arena: Arena, kind: str) -> None:
    port = str(next(_ports))
    begin, begin_there = arena.here.mark(), arena.there.mark()
    if kind == "internal":
        server = start(arena, str(COUNTER / "suspendable.py"), port)
    else:
        server = start(arena, "-c", INETD, port, str(COUNTER / "suspendable_process.py"))
    client = Program(arena.net.client, [sys.executable, "-c", READER, SERVER_V4, port])
    client.await_received(5, PATIENCE_S)
    arena.here.await_event("adopted", since=begin)
    arena.there.await_event("adopted", since=begin_there)
    for _ in range(2):
        mark = arena.there.mark()
        for link in arena.links:
            link.cut()
        arena.there.await_event("given-up", since=mark, kind=kind)
        arena.link("ppp0").plug()
        arena.there.await_event("invoked", since=mark, kind=kind)
        client.await_received(client.received + 5, PATIENCE_S)
    assert (server.process.poll() == 0) == (kind == "complete")
    for program in (client, server):
        program.process.kill()
        program.process.wait()
    arena.heal()
