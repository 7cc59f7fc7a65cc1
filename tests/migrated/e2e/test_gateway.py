"""Ordinary programs over `migrate connect` and `migrate forward`, without rights and without a daemon."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrated.demo.openssh import PORT, OpenSsh
from migrated.demo.traffic import TrafficError, await_listener
from migrated.lab import SERVER_V4, Lab, TwoLinks, two_links
from migrated.streams.addresses import GATEWAY_PORT
from sessionlayer.aio import StreamOptions
from tests.migrated.streams.programs import MIGRATE, ORDINARY, Home, Program

WEB_PORT = 8000
CHUNK = 8 << 20
"""Much more than all buffers on the way hold."""

DOWNLOAD_BYTES = 24 << 20
DOWNLOAD_RATE = "6M"
"""Of curl, which is then still busy when the links change."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The network, a gateway on the server, and who uses it on the client."""

    net: TwoLinks
    folder: Path
    here: Home
    gateway: Program

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.here.environment}

    def change_links(self) -> None:
        """Cut the link in use; the other one has another address, and is taken before anybody waits."""
        mark = self.gateway.mark()
        self.net.links[0].cut()
        self.net.links[0].withdraw()
        deadline = time.monotonic() + StreamOptions().silence_s - 1
        while not self._connected_from(self.net.links[1].v4):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert self.gateway.mark() == mark, "this is no suspension"

    def _connected_from(self, address: str) -> bool:
        rows = self.net.server.run(["ss", "-Htn", "state", "established", "dst", address]).stdout
        return f":{GATEWAY_PORT} " in rows

    def be_offline(self, noticed: Callable[[], object] = lambda: None) -> None:
        """Cut everything until the gateway has noticed, and whoever ``noticed`` waits for; come back."""
        mark = self.gateway.mark()
        self.net.links[1].cut()
        self.gateway.event("suspended", since=mark)
        noticed()
        self.net.links[0].plug()
        self.net.links[0].configure()
        resumed = self.gateway.event("resumed", since=mark)
        assert resumed["peer"].startswith(f"{self.net.links[0].v4}:")
        self.net.links[1].plug()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("gateway")
    for name in ("here", "there"):
        (folder / name).mkdir()
    here, there = Home(folder / "here"), Home(folder / "there")
    environment = {**os.environ, **here.environment}
    there.let_in(subprocess.check_output([*MIGRATE, "connect", "--print-key"], env=environment, text=True))
    with Lab() as lab:
        net = two_links(lab)
        gateway = Program(
            ["gateway", "--json", "--allow", f"localhost:{PORT}", "--allow", f"localhost:{WEB_PORT}"],
            {**os.environ, **there.environment},
            popen=net.server.popen,
            prefix=ORDINARY,
        )
        gateway.event("listening")
        yield Stage(net, folder, here, gateway)
        assert gateway.end(signal.SIGTERM) == 0


@pytest.fixture(scope="module")
def ssh(stage: Stage) -> list[str]:
    """Return the command that logs in at the server through the gateway."""
    try:
        openssh = OpenSsh.prepared(stage.folder)
    except TrafficError as error:
        pytest.skip(str(error))
    openssh.allow_port(stage.net.server)
    log = stage.folder / "sshd.log"
    with log.open("wb") as stream:
        server = stage.net.server.popen(
            openssh.server_command(), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
    await_listener(stage.net.server, PORT, server, log, 60.0)
    proxy = shlex.join([*MIGRATE, "connect", "-q", "%h", "%p"])
    return [*ORDINARY, *openssh.client_command(SERVER_V4)[:-1], "-o", f"ProxyCommand={proxy}", SERVER_V4]


class Echo:
    """`ssh HOST cat`: what goes in must come out."""

    def __init__(self, stage: Stage, ssh: list[str]) -> None:
        self._process = stage.net.client.popen(
            [*ssh, "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=stage.environment,
        )

    def send(self, data: bytes) -> threading.Thread:
        """Write in a thread of its own: it takes as long as the network lets it."""
        assert self._process.stdin is not None
        writer = threading.Thread(target=self._write, args=(data,), daemon=True)
        writer.start()
        return writer

    def receive(self, length: int) -> bytes:
        assert self._process.stdout is not None
        data: bytes = self._process.stdout.read(length)
        return data

    def end(self) -> tuple[int, bytes]:
        """Close the input, and return the exit status and what else came."""
        rest, complaints = self._process.communicate(timeout=60)
        assert complaints == b""
        return self._process.returncode, rest

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()


@pytest.mark.alone  # the links change within the 2 s after which somebody would wait
def test_openssh_goes_on_over_another_link(stage: Stage, ssh: list[str]) -> None:
    echo = Echo(stage, ssh)
    for blow in (stage.change_links, stage.be_offline):
        data = os.urandom(CHUNK)
        writer = echo.send(data)
        first = echo.receive(CHUNK // 8)  # so that much more is under way
        blow()
        assert first + echo.receive(CHUNK - len(first)) == data
        writer.join(10)
    assert echo.end() == (0, b"")


@pytest.mark.alone  # as above
def test_a_download_through_a_forwarded_port(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(DOWNLOAD_BYTES))
    expected = hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()
    web = [sys.executable, "-m", "http.server", "--directory", str(tmp_path), str(WEB_PORT)]
    with (tmp_path / "web.log").open("wb") as log:
        server = stage.net.server.popen(web, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    await_listener(stage.net.server, WEB_PORT, server, tmp_path / "web.log", 60.0)
    forward = Program(
        ["forward", "0", f"{SERVER_V4}:{WEB_PORT}"],
        stage.environment,
        popen=stage.net.client.popen,
        prefix=ORDINARY,
    )
    port = forward.line(r"127\.0\.0\.1:(\d+) leads to localhost:8000")[1]
    url = f"http://127.0.0.1:{port}/file"
    curl = ["curl", "-sS", "--limit-rate", DOWNLOAD_RATE, "-o", str(tmp_path / "copy"), url]
    mark = stage.gateway.mark()
    download = stage.net.client.popen(curl, stdin=subprocess.DEVNULL)
    stage.gateway.event("connected", since=mark)
    stage.change_links()
    assert download.poll() is None, "the download was over before the links had changed"
    assert not [line for line in forward.lines if "suspended" in line]
    stage.be_offline(lambda: forward.line("suspended"))
    forward.line("resumed after")
    assert download.wait(60) == 0
    assert hashlib.sha256((tmp_path / "copy").read_bytes()).hexdigest() == expected
    assert forward.end(signal.SIGTERM) == 0
