"""`migrate ssh` over a real OpenSSH server: outages, killed clients, other windows; and no privilege."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrated.demo.openssh import PORT, OpenSsh
from migrated.demo.traffic import TrafficError, await_listener
from migrated.lab import SERVER_V4, Host, Lab, two_links
from migrated.lab.topology import TwoLinks
from tests.migrated.terminal.emulator import Emulator

OUTAGE_S = float(os.environ.get("MIGRATE_OUTAGE_S", "20"))
PATIENCE_S = 30.0
ROWS, COLUMNS = 24, 80
MIGRATE = str(Path(sys.executable).with_name("migrate"))
NO_PRIVILEGE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]
COUNT = (
    "i=0; while [ ! -e {stop} ]; do echo number $i; i=$((i+1)); sleep 0.05; done; echo all $i; read x; exit 7"
)


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
    def modes(self) -> set[int]:
        return self._emulator.modes

    def look(self, for_s: float = 0.0) -> None:
        while select.select([self._master], [], [], for_s)[0]:
            self._emulator.feed(os.read(self._master, 65536))

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


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("ssh")
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
        await_listener(net.server, PORT, server, log, 10.0)
        place = ["env", f"MIGRATE_TERMINALS={folder / 'terminals'}", f"MIGRATE_SOCKET={folder / 'none'}"]
        there = [*NO_PRIVILEGE, *place, MIGRATE]
        settings = str(openssh.folder / "ssh_config")
        here = [*NO_PRIVILEGE, MIGRATE, "ssh", "-F", settings, "--server", shlex.join(there)]
        yield Far(net=net, ssh=here, server=there, folder=folder)


def capabilities(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))


def test_a_shell_there_and_its_status(far: Far) -> None:
    window = far.window(SERVER_V4)
    window.await_line(r".*[$#]")
    window.type("stty size; echo $((6*7)) $TERM\r")
    window.await_line("24 80")
    window.await_line("42 xterm")
    window.type("exit 9\r")
    assert window.end() == 9


def test_detached_listed_attached_and_killed(far: Far) -> None:
    window = far.window("--name", "wren", SERVER_V4, "echo ready; cat")
    window.await_line("ready")
    assert capabilities(window.process.pid) == "0" * 16
    window.type("~.")
    assert window.end() == 0
    assert any("--attach wren" in line for line in window.lines)
    listed = json.loads(far.there("sessions", "--json").stdout)
    assert [(t["name"], t["program"], t["state"]) for t in listed] == [
        ("wren", "echo ready; cat", "detached")
    ]
    assert capabilities(listed[0]["pid"]) == "0" * 16
    taken = far.window("--name", "wren", SERVER_V4)
    taken.await_line(f"Error: `{SERVER_V4}`: there is a terminal `wren` already; .*")
    assert taken.end() == 255
    mistyped = far.window("--attach", "wern", SERVER_V4)
    mistyped.await_line(f"Error: `{SERVER_V4}`: there is no terminal `wern`; did you mean `wren`.*")
    another = far.window(SERVER_V4, "true")
    another.await_line(r"migrate: on `18.31.0.9` there is also `wren`; .*")
    assert another.end() == 0
    again = far.window("--attach", "wren", SERVER_V4)
    again.await_line("ready")
    assert far.there("kill", "wren").returncode == 0
    again.await_line(".*killed.*")
    assert again.end() == 255
    assert far.there("kill", "wren").returncode == 1
    assert far.there("sessions").returncode == 2  # there is no daemon either


def test_a_client_that_is_terminated_leaves_its_window_as_it_was(far: Far) -> None:
    window = far.window("--name", "teal", SERVER_V4, "printf 'ready\\033[?2004h\\n'; cat")
    window.await_line("ready")
    window.process.send_signal(signal.SIGTERM)
    assert window.end() == 255
    assert any("ended by SIGTERM" in line for line in window.lines)
    assert window.modes == set(), "bracketed paste was left on"
    assert far.state("teal") == "detached"
    assert far.there("kill", "teal").returncode == 0


def test_a_host_without_migrate(far: Far) -> None:
    words = list(far.ssh)
    words[words.index("--server") + 1] = "/nowhere/migrate"
    window = Window(far.net.client, [*words, SERVER_V4])
    window.await_line(rf"Error: `{SERVER_V4}` has no `/nowhere/migrate`")
    assert window.end() == 255


def test_a_host_that_is_not_there(far: Far) -> None:
    window = far.window("-o", "ConnectTimeout=1", "18.31.0.77")
    window.await_line("Error: ssh could not log in at `18.31.0.77`")
    assert window.end() == 255


@pytest.mark.slow
def test_a_long_outage(far: Far) -> None:
    stop = far.folder / "stop-1"
    window = far.window("--name", "patient", SERVER_V4, COUNT.format(stop=stop))
    window.await_line("number 20")
    far.cut()
    time.sleep(OUTAGE_S)
    assert far.state("patient") == "suspended"
    before = len(window.numbers())
    far.plug()
    await_true(lambda: far.state("patient") == "attached")
    stop.touch()
    total = int(window.await_line(r"all (\d+)")[1])
    assert total > before + OUTAGE_S * 5, "the program stood still"
    assert window.numbers() == list(range(total))
    window.type("\r")
    assert window.end() == 7


@pytest.mark.slow
def test_the_client_is_killed_during_an_outage(far: Far) -> None:
    stop = far.folder / "stop-2"
    first = far.window("--name", "orphan", SERVER_V4, COUNT.format(stop=stop))
    first.await_line("number 20")
    far.cut()
    time.sleep(OUTAGE_S)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    far.plug()
    second = far.window("--attach", "orphan", SERVER_V4)
    second.await_line("number 20")
    stop.touch()
    total = int(second.await_line(r"all (\d+)")[1])
    assert second.numbers() == list(range(total))
    shown = second.display
    third = far.window("--attach", "orphan", SERVER_V4)
    third.await_line(f"all {total}")
    second.await_line(".*attached elsewhere.*")
    assert second.end() == 255
    assert third.numbers() == list(range(total))
    assert third.display == shown
    third.type("\r")
    assert third.end() == 7
