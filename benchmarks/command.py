"""What the command and the daemon cost: checking a policy, starting, memory and processor at rest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from _figures import Summary, arguments, print_json, progress, summary
from _stage import ADOPTED_PORT, BenchmarkError, Daemon, Program, Stage

from migrated.control.messages import Status, StatusReport
from migrated.lab import SERVER_V4, ensure_privileged

FIGURE10 = Path(__file__).parent.parent / "examples" / "figure10.policy"
AIM_CHECK_MS = 200.0
AIM_MEMORY_MB, AIM_CORE_PERCENT = 60.0, 0.5
CONNECTIONS = (0, 10, 200)
ADOPTION_LIMIT_S = 30.0
CALM_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest:
    """A daemon with so many adopted connections that carry nothing; memory is what is resident."""

    connections: int
    memory_mb: float
    core_percent: float
    adopted_s: float


def wall_ms(command: list[str], runs: int) -> Summary:
    """Return how long a command takes, in milliseconds; the first run, which fills caches, does not count."""
    times = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        times.append(1e3 * (time.perf_counter() - begun))
        if done.returncode != 0:
            raise BenchmarkError(f"`{' '.join(command)}` failed: {done.stderr}")
    return summary(times[1:])


def resident_mb(pid: int) -> float:
    """Source: proc(5), ``VmRSS``."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6


def processor_s(pid: int) -> float:
    """Return the processor time used so far. Source: proc(5), ``utime`` and ``stime``."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def await_sessions(daemon: Daemon, count: int) -> None:
    deadline = time.monotonic() + ADOPTION_LIMIT_S
    while True:
        status = daemon.ask(Status())
        assert isinstance(status, StatusReport)
        if status.sessions == count:
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{status.sessions} connections were adopted, not {count}")
        time.sleep(0.02)


def at_rest(stage: Stage, count: int, seconds: float) -> AtRest:
    """Hold ``count`` connections, wait until all are adopted, and watch the client's daemon."""
    daemon, programs, adopted_s = stage.client, [], 0.0
    try:
        if count:
            port = str(ADOPTED_PORT)
            programs.append(Program(stage.net.server, "listen", port, "crowd", str(count)))
            programs[0].await_ready()
            programs.append(Program(stage.net.client, "connect", SERVER_V4, port, "crowd", str(count)))
            programs[1].await_ready()
        begun = time.monotonic()
        await_sessions(daemon, count)
        adopted_s = time.monotonic() - begun
        time.sleep(CALM_S)
        pid = daemon.process.pid
        before, begun = processor_s(pid), time.monotonic()
        time.sleep(seconds)
        used = (processor_s(pid) - before) / (time.monotonic() - begun)
        return AtRest(
            connections=count, memory_mb=resident_mb(pid), core_percent=100 * used, adopted_s=adopted_s
        )
    finally:
        for program in programs:
            program.close()
        await_sessions(daemon, 0)


def measure_daemon(starts: int, seconds: float) -> tuple[Summary, list[AtRest]]:
    started = []
    for number in range(starts):
        with Stage() as stage:
            started += [1e3 * daemon.started_s for daemon in (stage.client, stage.server)]
            if number == starts - 1:
                progress("the daemon at rest")
                rest = [at_rest(stage, count, seconds) for count in CONNECTIONS]
    return summary(started), rest


def print_all(check: Summary, bare: Summary, started: Summary, rest: list[AtRest]) -> None:
    print("command and start, in ms                median       p99       max")
    print(f"  policy check on Figure 10          {check}; aim {AIM_CHECK_MS:g}")
    print(f"  python that does nothing           {bare}")
    print(f"  daemon, from start to first answer {started}")
    print(f"\nthe daemon at rest; aim with 1000 connections: {AIM_MEMORY_MB:g} MB, {AIM_CORE_PERCENT:g} %")
    print("  connections   memory MB   % of a core   all adopted after s")
    for row in rest:
        used = f"{row.memory_mb:9.1f}   {row.core_percent:11.2f}"
        print(f"  {row.connections:11}   {used}   {row.adopted_s:19.2f}")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--runs", type=int, default=15, help="runs of the command (15)")
    options = parser.parse_args()
    ensure_privileged()
    progress("the command")
    runs = 3 if options.quick else options.runs
    migrate = str(Path(sys.executable).with_name("migrate"))
    check = wall_ms([migrate, "policy", "check", str(FIGURE10)], runs)
    bare = wall_ms([sys.executable, "-c", "pass"], runs)
    progress("the daemon starts")
    started, rest = measure_daemon(1 if options.quick else 3, 1.0 if options.quick else 5.0)
    if options.json:
        print_json({"policy_check_ms": check, "python_ms": bare, "daemon_start_ms": started, "at_rest": rest})
    else:
        print_all(check, bare, started, rest)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
