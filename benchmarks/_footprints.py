"""Figures 11 and 12 and Table III of the paper: what a session costs in memory, descriptors and on disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from _stage import Stage
from _subjects import Subject
from _suspending import CALM_S, Program, Suspendable
from zstandard import ZstdDecompressor

from migrated.continuations.store import FILE_NAME
from migrated.control.continuations import ContinuationReport, ShowContinuation

_CONTENT_AT = 6
"""Where the frame begins in a continuation: after ``MIGC`` and the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What one session costs the server. Memory is resident, in kB; sizes are in bytes.

    Attributes:
        native_kb: the plain program with one client; with a process for each client that process.
        active_kb: the suspendable one.
        suspended_kb: likewise, suspended; 0 where the process has ended.
        native: descriptors of the plain program with one client.
        active: of the suspendable one.
        carried: in the continuation.
        suspended: of the program, suspended.
        daemon: of the daemon, more than before there was the program.
        plain_bytes: the continuation and what its descriptors need, as they were before they were compressed.
        stored_bytes: likewise, on disk.
    """

    native_kb: int
    active_kb: int
    suspended_kb: int
    native: int
    active: int
    carried: int
    suspended: int
    daemon: int
    plain_bytes: int
    stored_bytes: int


def measure_footprint(stage: Stage, subject: Subject) -> Footprint:
    """Run a plain program with one client, then the suspendable one, and suspend it once."""
    suspendable = subject.program(stage)
    daemon = stage.server.process.pid
    before = descriptors(daemon)
    native_kb, native = _cost(stage, subject)
    program = Suspendable(stage, suspendable, connect=subject.connect)
    found: list[tuple[int, int, int, int, tuple[int, int]]] = []

    def observe() -> None:
        time.sleep(CALM_S)  # the daemon has more open while it looks around
        pids = list(_serving(program.server.process.pid, suspendable))
        (session,) = program.ports
        report = stage.server.ask(ShowContinuation(session=session))
        assert isinstance(report, ContinuationReport)
        kb, kept = sum(map(resident_kb, pids)), sum(map(descriptors, pids))
        found.append((kb, kept, descriptors(daemon) - before, len(report.descriptors), _sizes(stage)))

    try:
        (pid,) = _serving(program.server.process.pid, suspendable)
        active_kb, active = resident_kb(pid), descriptors(pid)
        program.cycle(observe)
    finally:
        program.close()
    ((suspended_kb, suspended, of_daemon, carried, (plain_bytes, stored_bytes)),) = found
    return Footprint(
        native_kb=native_kb,
        active_kb=active_kb,
        suspended_kb=suspended_kb,
        native=native,
        active=active,
        carried=carried,
        suspended=suspended,
        daemon=of_daemon,
        plain_bytes=plain_bytes,
        stored_bytes=stored_bytes,
    )


def resident_kb(pid: int) -> int:
    """Source: proc(5), ``VmRSS``."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return sum(1 for _ in os.scandir(f"/proc/{pid}/fd"))


def _cost(stage: Stage, subject: Subject) -> tuple[int, int]:
    plain = subject.plain(stage)
    program = Suspendable(stage, plain, connect=subject.connect)
    try:
        (pid,) = _serving(program.server.process.pid, plain)
        return resident_kb(pid), descriptors(pid)
    finally:
        program.close()


def _serving(pid: int, program: Program) -> Iterator[int]:
    """Return the process that serves the client, if there is one."""
    if not program.forks:
        yield pid
        return
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    yield from (int(child) for child in children if _runs(int(child)))


def _runs(pid: int) -> bool:
    """Return whether a process is more than an exit status. Source: proc(5), ``State``."""
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def _sizes(stage: Stage) -> tuple[int, int]:
    """Return the bytes of the one stored continuation, unpacked and packed, from a copy of the store."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            shutil.copy(stage.server.folder / "state" / (FILE_NAME + suffix), folder)
        with closing(sqlite3.connect(Path(folder) / FILE_NAME)) as database:
            ((content, resources),) = database.execute("SELECT content, resources FROM continuations")
    unpack = ZstdDecompressor().decompress
    plain = len(unpack(content[_CONTENT_AT:])) + len(unpack(resources))
    return plain, len(content) + len(resources)


def print_footprints(found: dict[str, Footprint]) -> None:
    print("\nwhat one session costs on the server")
    print(f"  {'':34}" + "".join(f"{name:>20}" for name in found))
    for label, row in _ROWS.items():
        print(f"  {label:34}" + "".join(f"{row(footprint):>20}" for footprint in found.values()))


_ROWS: dict[str, Callable[[Footprint], str]] = {
    "memory, plain program, MB": lambda f: f"{f.native_kb / 1e3:.1f}",
    "memory, with Migrate, MB": lambda f: f"{f.active_kb / 1e3:.1f}",
    "memory, suspended, MB": lambda f: f"{f.suspended_kb / 1e3:.1f}",
    "descriptors, plain program": lambda f: f"{f.native}",
    "descriptors, with Migrate": lambda f: f"{f.active}",
    "descriptors in the continuation": lambda f: f"{f.carried}",
    "kept: program + daemon": lambda f: f"{f.suspended} + {f.daemon}",
    "continuation, bytes": lambda f: f"{f.plain_bytes:,}",
    "compressed, bytes": lambda f: f"{f.stored_bytes:,}",
}
