"""The capabilities of the systemd unit are enough to move another user's connection, and none is too many."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from migrated.lab import SERVER_V4, Host, Lab, is_privileged, two_links
from tests.processes import killed_at_last
from tests.unit_file import PROGRAMS, capabilities, settings

WORKER = Path(__file__).with_name("capability_worker.py")
NOBODY = 65534
PATIENCE_S = 60.0

# A port below 1024 as an ssh server has it; dumpable again, as a program is that its own user started.
BECOME_NOBODY = f"""
import ctypes, os, socket, sys
def become_nobody():
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
    ctypes.CDLL(None).prctl(4, 1)
"""
SERVER = f"""{BECOME_NOBODY}
listener = socket.create_server(("{SERVER_V4}", 22)); become_nobody()
print("ready", flush=True)
connection, _ = listener.accept()
while data := connection.recv(4096): connection.sendall(data)
"""
CLIENT = f"""{BECOME_NOBODY}
os.seteuid({NOBODY}); connection = socket.socket(); os.seteuid(0)
connection.connect(("{SERVER_V4}", 22)); become_nobody()
print("ready", flush=True)
for line in sys.stdin:
    connection.sendall(line.encode()); print(connection.recv(4096).decode(), end="", flush=True)
"""


def _every_user_is_here() -> bool:
    """Return false inside a user namespace such as `unshare -Ur`, which holds one user only."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        not (is_privileged() and _every_user_is_here() and shutil.which("setpriv")),
        reason="needs root, other users and setpriv",
    ),
]


class RefusedError(Exception):
    """A step failed for want of a capability."""


class Piped:
    """A program that answers each line with a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self) -> str:
        assert self._process.stdout is not None
        # What is sent over a connection that was moved to where it does not work is never answered.
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_S)
        assert ready, f"nothing from {self._process.args!r}"
        return self._process.stdout.readline()

    def say(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.hear()

    def order(self, *order: Any) -> Any:
        done, result = json.loads(self.say(json.dumps(order)))
        if not done:
            raise RefusedError(f"{order[0]}: {result}")
        return result


@contextmanager
def started(host: Host, argv: list[str]) -> Iterator[Piped]:
    process = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with killed_at_last(process):
        yield Piped(process)


def worker(allowed: frozenset[str]) -> list[str]:
    bounds = ",".join(["-all", *(f"+{name}" for name in sorted(allowed))])
    limited = ["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set={bounds}"]
    return [*limited, sys.executable, "-P", str(WORKER)]


def established_inode(host: Host) -> int:
    rows = (line.split() for line in host.run(["cat", "/proc/net/tcp"]).stdout.splitlines()[1:])
    return next(int(row[9]) for row in rows if row[3] == "01")


def move_and_suspend(allowed: frozenset[str]) -> str:
    """Move a connection of nobody's there and back, with daemons of these capabilities; return an echo.

    After that it is suspended without a socket, and made again as nobody's.
    """
    with Lab() as lab, ExitStack() as programs:
        net = two_links(lab)
        server = programs.enter_context(started(net.server, [sys.executable, "-c", SERVER]))
        assert server.hear() == "ready\n"
        client = programs.enter_context(started(net.client, [sys.executable, "-c", CLIENT]))
        assert client.hear() == "ready\n"
        assert client.say("before") == "before\n"
        mover, peer = (
            programs.enter_context(started(host, worker(allowed))) for host in (net.client, net.server)
        )
        mover.order("find", established_inode(net.client))
        peer.order("find", established_inode(net.server))
        for link in reversed(net.links):
            port, received = mover.order("freeze", link.v4)
            *remote, peer_received = peer.order("follow", link.v4, port, received)
            mover.order("move", [link.v4, port], link.interface, remote, peer_received)
            peer.order("finish")
        echo = client.say("after")
        assert mover.order("suspend") == NOBODY
        return echo


def test_the_unit_has_enough() -> None:
    assert move_and_suspend(capabilities()) == "after\n"


@pytest.mark.parametrize("missing", sorted(capabilities()))
def test_the_unit_has_none_too_many(missing: str) -> None:
    with pytest.raises(RefusedError):
        move_and_suspend(capabilities() - {missing})


def start_as_nobody(allowed: frozenset[str]) -> str:
    """Start a program as nobody, with a daemon of these capabilities; return what it says of itself."""
    with Lab() as lab, started(lab.host("alone"), worker(allowed)) as daemon:
        return str(daemon.order("start", NOBODY))


def test_one_more_is_needed_to_start_programs_of_others() -> None:
    assert start_as_nobody(capabilities() | {"setgid"}) == f"{NOBODY} {NOBODY} 100"
    assert capabilities(PROGRAMS) == {"~"}


def test_the_unit_alone_starts_no_program_of_others() -> None:
    with pytest.raises(RefusedError, match="may not start programs as user 65534: CAP_SETGID missing"):
        start_as_nobody(capabilities())


def test_the_drop_in_lifts_every_limit_that_programs_would_inherit() -> None:
    limits = {
        name for name in settings() if name.startswith(("Protect", "Private", "Restrict", "SystemCall"))
    }
    limits |= {"CapabilityBoundingSet", "NoNewPrivileges", "LockPersonality", "MemoryDenyWriteExecute"}
    limits -= {"SystemCallErrorNumber"}  # no limits
    assert limits <= settings(PROGRAMS).keys()
