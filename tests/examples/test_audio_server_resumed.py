"""The radio with real daemons: a listener is cut off, comes back to what is live, and its player plays on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from examples.audio_server.station import FRAME_BYTES
from migrated.lab import SERVER_V4, is_privileged
from sessionlayer.application.messages import SOCKET_NAME
from tests.examples.openssh import Output
from tests.examples.test_audio_server import RISING, ROOT, jumps, port_of
from tests.migrated.e2e.arena import Arena

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

READER = """
import shutil, socket, sys, time
from urllib.parse import urlsplit
url = urlsplit(sys.argv[1])
for attempt in range(1200):
    try:
        connection = socket.create_connection((url.hostname, url.port))
        break
    except OSError:
        time.sleep(0.05)
connection.sendall(f"GET {url.path} HTTP/1.0\\r\\n\\r\\n".encode())
with connection.makefile("rb", buffering=0) as stream:
    while stream.readline() != b"\\r\\n":
        pass
    stream.read(44)
    shutil.copyfileobj(stream, open(1, "wb", buffering=0))
"""
MOST_OUTAGES = 2
FFMPEG = ["ffmpeg", "-loglevel", "error", "-i", "URL", "-f", "s16le", "-flush_packets", "1", "-"]


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("audio")) as arena:
        yield arena


class Player:
    """A player whose output is counted in frames."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.heard: list[int] = []

    def hear(self, count: int) -> None:
        """Listen to so many frames more."""
        for _ in range(count):
            self.heard.append(RISING.index(self.output.take(FRAME_BYTES)))


@pytest.mark.parametrize(
    "player",
    [
        pytest.param([sys.executable, "-c", READER, "URL"], id="reader"),
        pytest.param(FFMPEG, id="ffmpeg", marks=pytest.mark.slow),
    ],
)
def test_a_player_plays_on_after_an_outage(arena: Arena, player: list[str]) -> None:
    path = arena.there.folder / "run" / SOCKET_NAME
    environment = {**os.environ, "MIGRATE_APPLICATION_SOCKET": str(path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "examples.audio_server.suspendable", "--port", "0"]
    server = arena.net.server.popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    address = f"http://{SERVER_V4}:{port_of(Output.of(server))}/rising"
    mark = arena.there.mark()
    client = arena.net.client.popen(
        [address if word == "URL" else word for word in player], stdout=subprocess.PIPE
    )
    session = arena.there.await_event("adopted", since=mark).fields["session"]
    arena.here.await_event("adopted", session=session)  # or its answer is cut off
    playing = Player(Output.of(client))
    playing.hear(50)
    outages = 0
    # One in 96 ends where the programme, which begins anew so often, has come to where it was cut off.
    while not jumps(playing.heard) and outages < MOST_OUTAGES:
        outages += 1
        mark = arena.there.mark()
        for link in arena.links:
            link.cut()
        arena.there.await_event("given-up", since=mark, session=session, kind="internal")
        arena.link("ppp0").plug()
        arena.there.await_event("invoked", since=mark, session=session)
        playing.hear(150)
    for program in (client, server):
        program.kill()
        program.communicate()
    arena.heal()
    assert 1 <= jumps(playing.heard) <= 2 * outages, (
        "what was on the air meanwhile is left out, and nothing else"
    )
