"""What a daemon costs that has nothing to do: processor time and memory with a crowd of idle connections."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from _figures import progress
from _footprints import resident_kb
from _stage import ADOPTED_PORT, Daemon, Running, Stage

from migrated.lab import SERVER_V4

AIM_CPU_PERCENT = 0.5
AIM_RSS_MB = 60.0

_IDLE = Path(__file__).with_name("_idle.py")
_ADOPTION_LIMIT_S = 60.0
_CALM_S = 5.0
"""Seconds after the last adoption in which its consequences end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest:
    """One daemon at rest.

    Attributes:
        host: which of the two it is: the client opened the connections.
        connections: how many are sessions.
        seconds: for how long it was looked at.
        cpu_percent: of one core, user and system, all threads.
        loop_percent: the same of the event loop's thread alone. The others watch the policy's folders: where
            other programs write into one of these, as into ``/tmp``, the daemon hears of each time.
        rss_mb: resident memory at the end.
    """

    host: str
    connections: int
    seconds: float
    cpu_percent: float
    loop_percent: float
    rss_mb: float


def measure_at_rest(stage: Stage, count: int = 1000, seconds: float = 60.0) -> tuple[AtRest, AtRest]:
    """Make so many idle connections sessions, and look what both daemons take from then on.

    Returns:
        The client's daemon and the server's.

    Raises:
        BenchmarkError: not all connections became sessions.
    """
    marks = stage.marks()
    program = [sys.executable, "-I", str(_IDLE)]
    server = Running(stage.net.server, [*program, "listen", str(ADOPTED_PORT)])
    client = None
    try:
        server.await_ready()
        client = Running(stage.net.client, [*program, "connect", SERVER_V4, str(ADOPTED_PORT), str(count)])
        client.await_ready(_ADOPTION_LIMIT_S)
        for daemon, mark in zip((stage.client, stage.server), marks, strict=True):
            daemon.await_events("adopted", mark, count, timeout_s=_ADOPTION_LIMIT_S)
        progress(f"{count} connections are sessions")
        time.sleep(_CALM_S)
        return _watch((stage.client, stage.server), count, seconds)
    finally:
        if client is not None:
            client.close()
        server.close()


def _watch(daemons: tuple[Daemon, Daemon], count: int, seconds: float) -> tuple[AtRest, AtRest]:
    begun, before = time.monotonic(), [_processor_s(daemon.process.pid) for daemon in daemons]
    time.sleep(seconds)
    took_s, after = time.monotonic() - begun, [_processor_s(daemon.process.pid) for daemon in daemons]
    client, server = (
        AtRest(
            host=host,
            connections=count,
            seconds=took_s,
            cpu_percent=100 * (late[0] - early[0]) / took_s,
            loop_percent=100 * (late[1] - early[1]) / took_s,
            rss_mb=resident_kb(daemon.process.pid) / 1e3,
        )
        for host, daemon, early, late in zip(("client", "server"), daemons, before, after, strict=True)
    )
    return client, server


def _processor_s(pid: int) -> tuple[float, float]:
    """Return what all threads took so far, and the first one, in seconds.

    Source: ``Documentation/scheduler/sched-stats.rst``.
    """
    spent = {
        int(thread.parent.name): int(thread.read_text().split()[0]) / 1e9
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat")
    }
    return sum(spent.values()), spent[pid]


def missed(found: AtRest) -> bool:
    """Return whether a daemon takes more than it should."""
    return found.cpu_percent > AIM_CPU_PERCENT or found.rss_mb > AIM_RSS_MB


def print_at_rest(found: tuple[AtRest, ...]) -> None:
    print(f"\na daemon at rest; aim: {AIM_CPU_PERCENT:g} % of a core, {AIM_RSS_MB:g} MB")
    for each in found:
        print(
            f"  {each.host}: {each.connections:,} connections, {each.seconds:.0f} s: "
            f"{each.cpu_percent:.2f} % of a core ({each.loop_percent:.2f} % its event loop), "
            f"{each.rss_mb:.1f} MB{'   missed' if missed(each) else ''}"
        )
