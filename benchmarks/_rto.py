"""What one reading of the retransmission time-outs of all connections costs, by our ways and by others'.

The connections are real ones, from a network namespace of ours to another: in one alone both ends of each
would be listed, which no host of anybody's would have to read. Nobody accepts them, so that one end takes no
descriptors.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from monitors.surroundings import WatchedConnection
from monitors.tcp_readers import DiagReader, ProcReader, Reader

COUNTS = (100, 1000, 9000)
ROUNDS = 9

OURS = "ours, sock_diag"

_BACKLOG = 4096  # net.core.somaxconn
_ESTABLISHED = 1
_WITH_INFO = 1 << 1  # the bit of INET_DIAG_INFO
_FAR = f"""
import signal, socket, subprocess
kept = [socket.create_server(("", 0), backlog={_BACKLOG}) for _ in range(4)]
print(*(listener.getsockname()[1] for listener in kept), flush=True)
input()
for command in ("addr add 10.7.0.2/24 dev far", "link set far up"):
    subprocess.run(["ip", *command.split()], check=True)
print(flush=True)
signal.pause()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RtoCost:
    """What a reading costs: processor and wall-clock time in milliseconds, medians of ``rounds``."""

    reader: str
    connections: int
    cpu_ms: float
    wall_ms: float
    rounds: int


def measure(counts: Sequence[int] = COUNTS, rounds: int = ROUNDS) -> list[RtoCost]:
    """Measure every reader at each number of connections, side by side, in namespaces of ours.

    Args:
        counts: numbers of connections, ascending; as many descriptors are needed as the last.
        rounds: readings by each.

    Raises:
        subprocess.CalledProcessError: something went wrong; it was said on the standard error.
    """
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *rights, "--net", sys.executable, __file__, str(rounds), *map(str, counts)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [RtoCost(**row) for row in json.loads(answer.stdout)]


def print_costs(found: Sequence[RtoCost]) -> None:
    counts = sorted({row.connections for row in found})
    print(
        "\none reading of all connections' time-outs, processor ms (wall-clock ms), and how many times ours"
    )
    print(f"  {'connections':24}" + "".join(f"{count:>30,}" for count in counts))
    ours = {row.connections: row.cpu_ms for row in found if row.reader == OURS}
    for reader in dict.fromkeys(row.reader for row in found):
        cells = (
            f"{row.cpu_ms:.1f} ({row.wall_ms:.1f}), {row.cpu_ms / ours[row.connections]:.1f}"
            for row in found
            if row.reader == reader
        )
        print(f"  {reader:24}" + "".join(f"{cell:>30}" for cell in cells))


def _measure_here(counts: Sequence[int], rounds: int) -> Iterator[RtoCost]:
    with _neighbour() as ports, ExitStack() as stack:
        connections: list[WatchedConnection] = []
        for count in counts:
            while len(connections) < count:
                port = ports[len(connections) % len(ports)]
                sock = stack.enter_context(socket.create_connection(("10.7.0.2", port)))
                connections.append(_watched(sock))
            yield from _side_by_side(connections, rounds)


def _side_by_side(connections: list[WatchedConnection], rounds: int) -> Iterator[RtoCost]:
    inodes = {connection.inode for connection in connections}
    readers: dict[str, Callable[[], int]] = {
        OURS: _ours(DiagReader(), connections),
        "ours, /proc/net/tcp": _ours(ProcReader(), connections),
        "pyroute2, DiagSocket": _pyroute2(inodes),
        "ss -tinHO": _ss,
    }
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            began, busy = time.perf_counter(), _busy_s()
            found = read()
            costs[name].append((_busy_s() - busy, time.perf_counter() - began))
            if found != len(connections):
                raise RuntimeError(f"{name} found {found} of {len(connections)} connections")
    for name, figures in costs.items():
        cpu_s, wall_s = (statistics.median(column) for column in zip(*figures, strict=True))
        yield RtoCost(
            reader=name, connections=len(connections), cpu_ms=cpu_s * 1e3, wall_ms=wall_s * 1e3, rounds=rounds
        )


def _ours(reader: Reader, connections: list[WatchedConnection]) -> Callable[[], int]:
    reader.watch(connections)
    return lambda: len([details.rto_us for some in reader.read() for _, details in some])


def _pyroute2(inodes: set[int]) -> Callable[[], int]:
    """Return the quickest use of it: one dump of established connections, with TCP's own data alone."""
    from pyroute2.netlink.diag import DiagSocket

    def read() -> int:
        with DiagSocket() as diag:
            rows = diag.get_sock_stats(family=socket.AF_INET, states=1 << _ESTABLISHED, extensions=_WITH_INFO)
            found = {
                row["idiag_inode"]: row.get_attr("INET_DIAG_INFO")["tcpi_rto"]
                for row in rows
                if row["idiag_inode"] in inodes
            }
            return len(found)

    return read


def _ss() -> int:
    shown = subprocess.run(["ss", "-tinHO"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return sum(" rto:" in line for line in shown.splitlines())


def _busy_s() -> float:
    """Return the processor time so far, of processes that were started, too."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _watched(sock: socket.socket) -> WatchedConnection:
    (local, local_port), (remote, remote_port) = sock.getsockname(), sock.getpeername()
    inode = os.fstat(sock.fileno()).st_ino
    return WatchedConnection(
        session="benchmark",
        connection=str(inode),
        local_address=local,
        local_port=local_port,
        remote_address=remote,
        remote_port=remote_port,
        interface="eth0",
        inode=inode,
    )


@contextmanager
def _neighbour() -> Iterator[list[int]]:
    """Run a host at the other end of a cable, and yield the ports that it listens on."""
    command = ["unshare", "--net", sys.executable, "-c", _FAR]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as far:
        assert far.stdin is not None
        assert far.stdout is not None
        try:
            ports = [int(port) for port in far.stdout.readline().split()]
            commands = (
                "link add eth0 type veth peer name far",
                "addr add 10.7.0.1/24 dev eth0",
                "link set eth0 up",
                f"link set far netns {far.pid}",
            )
            subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
            print(file=far.stdin, flush=True)
            far.stdout.readline()
            yield ports
        finally:
            far.kill()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rounds, *counts = map(int, sys.argv[1:])
    print(json.dumps([asdict(row) for row in _measure_here(counts, rounds)]))
