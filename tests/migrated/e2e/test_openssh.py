"""Unmodified OpenSSH: a copy and an interactive session live through cuts, lost addresses and moves."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrated.demo.openssh import PORT, OpenSsh
from migrated.demo.traffic import TrafficError, await_listener
from migrated.lab import SERVER_V4
from tests.migrated.e2e.arena import Arena

COPY_BYTES = 200 << 20
KILOBITS_PER_S = 100_000
"""Of the copy, which then lasts some 17 s: far longer than the moves take."""

PREFER_ETHERNET = """\
monitor-policy {
    score-interface * 1
    score-interface eth* 10
    on proto tcp adopt
    settle 300ms
}
"""
LINES = 20
SCP = ["scp", "-q", "-l", str(KILOBITS_PER_S)]


@pytest.fixture
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Links of a test's own: a third loss of eth0 within a minute would make it a last resort."""
    with Arena(tmp_path_factory.mktemp("arena"), policy=PREFER_ETHERNET) as arena:
        yield arena


@pytest.fixture
def openssh(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> OpenSsh:
    folder = tmp_path_factory.mktemp("openssh")
    try:
        openssh = OpenSsh.prepared(folder)
    except TrafficError as error:
        pytest.skip(str(error))
    with (openssh.folder / "sshd_config").open("a") as settings:
        settings.write("Subsystem sftp internal-sftp\n")
    openssh.allow_port(arena.net.server)
    log = folder / "sshd.log"
    with log.open("wb") as stream:
        server = arena.net.server.popen(
            _server_command(openssh), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
    await_listener(arena.net.server, PORT, server, log, 60.0)
    return openssh


def _server_command(openssh: OpenSsh) -> list[str]:
    """Return how to run the server so that it can hand out terminals.

    It gives a terminal to the group `tty`, which an ordinary user's namespace has not; without that group
    it takes the user's own.
    """
    if openssh.user_ids is None:
        return openssh.server_command()
    groups = openssh.folder / "group"
    groups.write_text("")
    hide = f"mount --bind {shlex.quote(str(groups))} /etc/group && exec "
    return ["unshare", "--mount", "--", "sh", "-c", hide + shlex.join(openssh.server_command())]


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that happens to eth0, and the link where the session must then be."""

    name: str
    strike: Callable[[Arena], None]
    to: str


BLOWS = (
    Blow("cut", lambda arena: arena.link("eth0").cut(), "ppp0"),
    Blow("plug", lambda arena: arena.link("eth0").plug(), "eth0"),
    Blow("withdraw", lambda arena: arena.link("eth0").withdraw(), "ppp0"),
    Blow("configure", lambda arena: arena.link("eth0").configure(), "eth0"),
)


def endure(arena: Arena, session: str, blows: tuple[Blow, ...]) -> None:
    """Strike, and wait each time until the session is where it must be then."""
    for blow in blows:
        mark = arena.here.mark()
        blow.strike(arena)
        arena.here.await_event("moved", "resumed", since=mark, session=session, to=blow.to)


def test_scp_of_200_mb(arena: Arena, openssh: OpenSsh, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    digest = _make_file(source, COPY_BYTES)
    mark = arena.here.mark()
    scp = arena.net.client.popen(
        [*SCP, "-F", str(openssh.folder / "ssh_config"), str(source), f"{SERVER_V4}:{copy}"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    session = arena.here.await_event("adopted", since=mark, peer=f"{SERVER_V4}:{PORT}").fields["session"]
    endure(arena, session, (*BLOWS, *BLOWS[:2]))
    assert copy.stat().st_size < COPY_BYTES, "the copy was over before the moves were"
    _, complaints = scp.communicate(timeout=120)
    assert (scp.returncode, complaints) == (0, "")
    assert _digest(copy) == digest
    moved, resumed = (arena.here.since(mark, name, session=session) for name in ("moved", "resumed"))
    assert len(moved) >= 1, "a link that comes back is gone to while the other one works"
    assert len(moved) + len(resumed) >= 6


def test_typed_lines_come_back(arena: Arena, openssh: OpenSsh) -> None:
    mark = arena.here.mark()
    terminal = Terminal(arena, [*openssh.client_command(SERVER_V4)[:-1], "-tt", SERVER_V4, "echo ready; cat"])
    session = arena.here.await_event("adopted", since=mark, peer=f"{SERVER_V4}:{PORT}").fields["session"]
    terminal.read_until("ready", times=1)  # until then the client's own terminal echoes as well
    for number in range(LINES):
        terminal.type_line(f"line {number}")
        if number % 4 == 2:
            endure(arena, session, (BLOWS[number // 4 % len(BLOWS)],))
    # What is typed while there is no link comes back as well.
    for link in arena.links:
        link.cut()
    arena.here.await_event("suspended", since=mark, session=session)
    terminal.type_line("typed without a link")
    mark = arena.here.mark()
    for link in arena.links:
        link.plug()
    arena.here.await_event("resumed", since=mark, session=session)
    terminal.type_line("the end")
    expected = [*(f"line {number}" for number in range(LINES)), "typed without a link", "the end"]
    # The terminal echoes each line, and `cat` repeats it.
    seen = terminal.read_until(expected[-1], times=2)
    assert seen.pop("ready") == 1
    assert (list(seen), set(seen.values())) == (expected, {2})
    assert terminal.end() == 0


class Terminal:
    """A program of the client in a pseudo-terminal, and somebody who types."""

    def __init__(self, arena: Arena, argv: list[str]) -> None:
        self._master, slave = pty.openpty()
        self._process = arena.net.client.popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self._text = ""

    def type_line(self, line: str) -> None:
        """Type a line and the return key."""
        os.write(self._master, line.encode() + b"\r")

    def read_until(self, line: str, *, times: int, timeout_s: float = 60.0) -> dict[str, int]:
        """Read until a line has appeared so many times; return how often each line did, in order."""
        deadline = time.monotonic() + timeout_s
        while self._lines().get(line, 0) < times:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, self._text
            self._text += os.read(self._master, 4096).decode()
        return self._lines()

    def end(self) -> int:
        """Type the end of input, and return the exit status."""
        os.write(self._master, b"\x04")
        status = self._process.wait(60)
        os.close(self._master)
        return status

    def _lines(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for line in re.split(r"[\r\n]+", self._text):
            if line:
                counts[line] = counts.get(line, 0) + 1
        return counts


def _make_file(path: Path, length: int) -> str:
    with path.open("wb") as file:
        for _ in range(length >> 20):
            file.write(os.urandom(1 << 20))
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
