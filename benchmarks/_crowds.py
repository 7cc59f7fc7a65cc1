"""Very many sessions of one program that are suspended at once, and resumed at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from _figures import progress
from _footprints import descriptors, resident_kb
from _stage import BenchmarkError, Running, Stage
from _suspending import HERE, PORT, Cycle, Hearer, environment

POLL_S = 0.005
LIMIT_S = 120.0
ADOPTION_S_EACH = 0.05
"""How long a connection may take to become a session, where very many do."""

LIMIT_S_EACH = 0.04
"""How long a session may take to be suspended, or resumed, where very many do; beyond ``LIMIT_S``."""

RETRANSMITTED_S = 1.0

AIM_SESSIONS = 64
AIM_MS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """So many sessions at once; milliseconds.

    Attributes:
        sessions: how many.
        suspend_mean: from a session's being frozen to its being on disk.
        suspend_total: from the first one's being frozen until all are.
        resume_mean: from the client's daemon's decision to the first byte of the program.
        resume_total: from the first decision to the last of these bytes.
    """

    sessions: int
    suspend_mean: float
    suspend_total: float
    resume_mean: float
    resume_total: float


def crowd_of(cycles: list[Cycle]) -> Crowd:
    """Return the figures of sessions that were suspended and resumed together."""
    return Crowd(
        sessions=len(cycles),
        suspend_mean=1e3 * mean(c.given_up - c.suspended for c in cycles),
        suspend_total=1e3 * (max(c.given_up for c in cycles) - min(c.suspended for c in cycles)),
        resume_mean=1e3 * mean(c.heard - c.moving for c in cycles),
        resume_total=1e3 * (max(c.heard for c in cycles) - min(c.moving for c in cycles)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Multitude:
    """Thousands of sessions at once, and what the server's daemon costs with them.

    Attributes:
        sessions: how many.
        adopt_s: until all connections were sessions with a handler.
        suspend_s: from the first continuation's being given to the last one's being on disk.
        resume_s: from the cable's being plugged in to the last session's first byte.
        idle_mb: resident memory of the daemon before there was a session.
        live_mb: with all sessions live.
        suspended_mb: with all sessions suspended.
        live_descriptors: of the daemon, more than before there was a session; all sessions live.
        suspended_descriptors: likewise, all sessions suspended; the fewest within 2 s.
        program_descriptors: of the program, more than before there was a session; all suspended.
    """

    sessions: int
    adopt_s: float
    suspend_s: float
    resume_s: float
    idle_mb: float
    live_mb: float
    suspended_mb: float
    live_descriptors: int
    suspended_descriptors: int
    program_descriptors: int


class Bell:
    """The server's program, `_bell.py`, and what it has noted."""

    def __init__(self, stage: Stage) -> None:
        self.stamps = stage.server.folder / "stamps"
        self.stamps.write_bytes(b"")
        argv = [sys.executable, str(HERE / "_stamped.py"), str(HERE / "_bell.py"), PORT]
        self.program = Running(stage.net.server, argv, environment=environment(stage.server, self.stamps))
        self.pid = self.program.process.pid

    def ring(self) -> None:
        """Have it send each client a number."""
        os.kill(self.pid, signal.SIGUSR1)

    def first(self, what: str) -> float:
        """Return when something was noted first."""
        lines = self.stamps.read_text().splitlines()
        return min(float(line.split()[0]) for line in lines if line.split()[1] == what)


def _kept_descriptors(pid: int) -> int:
    """Return what a process keeps open: a handshake, for one, has a descriptor for a moment."""
    counts = [descriptors(pid)]
    for _ in range(20):
        time.sleep(0.1)
        counts.append(descriptors(pid))
    return min(counts)


def measure_multitude(stage: Stage, count: int) -> Multitude:
    """Make so many sessions, suspend them all, and resume them all."""
    daemon, limit_s = stage.server.process.pid, LIMIT_S + LIMIT_S_EACH * count
    idle_mb, idle = resident_kb(daemon) / 1e3, descriptors(daemon)
    bell, hearer = Bell(stage), None
    try:
        begun = time.time()
        hearer = Hearer(stage, count, limit_s=ADOPTION_S_EACH * count + LIMIT_S)
        hearer.await_all("0", count, limit_s)
        adopt_s = time.time() - begun
        progress(f"{count} sessions after {adopt_s:.1f} s")
        live_mb, live = resident_kb(daemon) / 1e3, descriptors(daemon)
        for link in reversed(stage.net.links):
            link.cut()
        bell.ring()
        time.sleep(RETRANSMITTED_S)
        with_all = descriptors(bell.pid)
        _await(lambda: descriptors(bell.pid) <= with_all - count, "were not suspended", limit_s)
        suspend_s = time.time() - bell.first("giving")
        progress(f"suspended in {suspend_s:.2f} s")
        time.sleep(RETRANSMITTED_S)
        suspended_mb, suspended = resident_kb(daemon) / 1e3, _kept_descriptors(daemon)
        program = descriptors(bell.pid) - (with_all - count)
        link = stage.net.links[0]
        stage.net.client.ip(f"neigh flush dev {link.interface}")
        begun = time.time()
        link.plug()
        resume_s = hearer.await_all("2", count, limit_s) - begun
        progress(f"resumed in {resume_s:.2f} s")
    finally:
        if hearer is not None:
            hearer.close()
        bell.program.close()
    return Multitude(
        sessions=count,
        adopt_s=adopt_s,
        suspend_s=suspend_s,
        resume_s=resume_s,
        idle_mb=idle_mb,
        live_mb=live_mb,
        suspended_mb=suspended_mb,
        live_descriptors=live - idle,
        suspended_descriptors=suspended - idle,
        program_descriptors=program,
    )


def _await(done: Callable[[], bool], failure: str, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the sessions {failure} within {limit_s:g} s")
        time.sleep(POLL_S)


def missed(crowd: Crowd) -> bool:
    """Return whether a crowd of the size that there is an aim for took longer to be suspended and resumed."""
    return crowd.sessions == AIM_SESSIONS and crowd.suspend_total + crowd.resume_total > AIM_MS


def print_crowds(title: str, crowds: list[Crowd]) -> None:
    print(f"\nsessions at once of {title}, in ms")
    if any(crowd.sessions == AIM_SESSIONS for crowd in crowds):
        print(f"  paper: {AIM_SESSIONS} in 1500; aim: {AIM_SESSIONS} suspended and resumed in {AIM_MS:g}")
    print(f"  {'sessions':>8} {'suspend, mean':>14} {'all':>9} {'resume, mean':>14} {'all':>9}")
    for crowd in crowds:
        print(
            f"  {crowd.sessions:8} {crowd.suspend_mean:14.1f} {crowd.suspend_total:9.1f} "
            f"{crowd.resume_mean:14.1f} {crowd.resume_total:9.1f}{'   missed' if missed(crowd) else ''}"
        )


def print_multitude(found: Multitude) -> None:
    print(f"\n{found.sessions:,} sessions of one program; aims for 10,000: 5 s, 60 MB, 0 descriptors")
    print(f"  all are sessions after       {found.adopt_s:9.1f} s")
    print(f"  all suspended in             {found.suspend_s:9.2f} s")
    print(f"  all resumed in               {found.resume_s:9.2f} s")
    memory = (
        f"{found.idle_mb:.0f} MB before, {found.live_mb:.0f} MB live, {found.suspended_mb:.0f} MB suspended"
    )
    print(f"  the daemon's memory          {memory}")
    print(
        f"  descriptors beyond those before: the daemon {found.live_descriptors} live, "
        f"{found.suspended_descriptors} suspended; the program {found.program_descriptors} suspended"
    )
