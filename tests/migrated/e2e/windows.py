"""A terminal window on a host of the lab, and two hosts with an ssh server on one of them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrated.demo.openssh import PORT, OpenSsh
from migrated.demo.traffic import TrafficError, await_listener
from migrated.lab import Host, Lab, two_links
from migrated.lab.topology import TwoLinks
from tests.migrated.terminal.emulator import Emulator

PATIENCE_S = 60.0
LOOK_S = 1.0
ROWS, COLUMNS = 24, 80
MIGRATE = str(Path(sys.executable).with_name("migrate"))
NO_PRIVILEGE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]


class Window:
    """A terminal window on a host, and a program in it."""

    def __init__(self, host: Host, argv: list[str], rows: int = ROWS, columns: int = COLUMNS) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        self.process = host.popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment
        )
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self._emulator = Emulator(rows, columns)

    @property
    def display(self) -> list[str]:
        self.look()
        return self._emulator.display

    @property
    def lines(self) -> list[str]:
        self.look()
        return self._emulator.lines

    @property
    def title(self) -> str:
        self.look()
        return self._emulator.title

    @property
    def modes(self) -> set[int]:
        return self._emulator.modes

    def look(self, for_s: float = 0.0) -> None:
        """Take in what comes until nothing has come for so long.

        A program that goes on writing may leave no such pause, least of all on a busy machine.
        """
        deadline = time.monotonic() + LOOK_S
        while select.select([self._master], [], [], for_s)[0]:
            self._emulator.feed(os.read(self._master, 65536))
            if time.monotonic() > deadline:
                return

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def await_line(self, pattern: str) -> re.Match[str]:
        """Wait until a line of the screen or its history matches."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.look(0.05)
            for line in self.lines:
                if found := re.fullmatch(pattern, line):
                    return found
        raise AssertionError((pattern, self.lines, self.process.poll()))

    def end(self) -> int:
        """Wait for the program's end."""

        def ended() -> bool:
            self.look(0.05)
            return self.process.poll() is not None

        await_true(ended)
        assert termios.tcgetattr(self.slave) == self.before, "the window was left raw"
        return int(self.process.returncode)

    def numbers(self) -> list[int]:
        return [int(line[7:]) for line in self.lines if re.fullmatch(r"number \d+", line)]


def await_true(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass(frozen=True)
class Far:
    """The server, and how its user calls `migrate` here and there."""

    net: TwoLinks
    ssh: list[str]
    server: list[str]
    folder: Path

    def window(self, *words: str, rows: int = ROWS) -> Window:
        return Window(self.net.client, [*self.ssh, *words], rows)

    def there(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `migrate` on the server."""
        return self.net.server.run([*self.server, *words])

    def state(self, name: str) -> str:
        found = json.loads(self.there("sessions", "--json").stdout or "[]")
        return next((terminal["state"] for terminal in found if terminal["name"] == name), "gone")

    def cut(self) -> None:
        for link in self.net.links:
            link.cut()

    def plug(self) -> None:
        for link in self.net.links:
            link.plug()


@contextmanager
def far_in(folder: Path) -> Iterator[Far]:
    """Run an ssh server in a lab; its keys, logs and terminals are kept in a folder."""
    try:
        openssh = OpenSsh.prepared(folder)
    except TrafficError as error:
        pytest.skip(str(error))
    with Lab() as lab:
        net = two_links(lab, names=("eth0", "ppp0"))
        openssh.allow_port(net.server)
        log = folder / "sshd.log"
        with log.open("wb") as stream:
            command = openssh.server_command()
            server = net.server.popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        await_listener(net.server, PORT, server, log, PATIENCE_S)
        place = ["env", f"MIGRATE_TERMINALS={folder / 'terminals'}", f"MIGRATE_SOCKET={folder / 'none'}"]
        there = [*NO_PRIVILEGE, *place, MIGRATE]
        settings = str(openssh.folder / "ssh_config")
        here = [
            *NO_PRIVILEGE,
            "env",
            f"TMPDIR={folder}",
            MIGRATE,
            "ssh",
            "-F",
            settings,
            "--server",
            shlex.join(there),
        ]
        yield Far(net=net, ssh=here, server=there, folder=folder)
