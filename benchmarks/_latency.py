"""How long a measurement takes from its monitor's `report` until the engine has taken it in.

Host and engine are the real ones, in a process that has nothing else to do. The policy has a condition on
what is measured; each measurement turns it, and every second one decides that all sessions move: that one
counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from _figures import Summary, progress, summary
from _policy_engine import address_of, links_up, parsed, session
from _policy_rules import Request
from _stage import BenchmarkError

from engine import Engine
from monitors.discovery import Discovery
from monitors.events import FactMeasured
from monitors.facts import ON_BATTERY, Fact
from monitors.host import MonitorHost
from monitors.origins import Kind, Origin
from monitors.spec import Monitor, Report

AIM_MS = 5.0
"""The design's for events of links, median: nothing that is measured is more urgent."""

SESSIONS = 100
EVERY_S = 0.005
"""Seconds between two measurements."""

BUILT_IN, PLUGIN, BUSY = "a monitor of ours", "a plugin", "a plugin beside a busy one"
POLICY = """\
monitor-policy {
    settle 0s
    score-interface eth0 5
    when on-battery = yes score-interface eth1 9
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What measurements of a monitor take to the engine, and through it, in milliseconds."""

    monitor: str
    sessions: int
    arrival: Summary
    handled: Summary


def measure_latencies(count: int, sessions: int = SESSIONS) -> list[Latency]:
    """Measure so many measurements of each kind of monitor."""
    return [_measure(kind, count, sessions) for kind in (BUILT_IN, PLUGIN, BUSY)]


class _Source:
    """Measure again and again, and note when each measurement was reported."""

    name, facts = "bench", (ON_BATTERY,)

    def __init__(self, count: int) -> None:
        self._count = count
        self.reported: list[float] = []

    @property
    def done(self) -> bool:
        return len(self.reported) == self._count

    async def run(self, report: Report) -> None:
        for number in range(self._count):
            await asyncio.sleep(EVERY_S)
            self.reported.append(time.perf_counter())
            report(FactMeasured(fact=ON_BATTERY.name, value=number % 2 == 0))
        await asyncio.Event().wait()


class _Busy:
    """Never rest until another one is done."""

    name = "busy"
    facts: tuple[Fact, ...] = ()

    def __init__(self, other: _Source) -> None:
        self._other = other

    async def run(self, report: Report) -> None:
        while not self._other.done:
            pass
        await asyncio.Event().wait()


def _measure(kind: str, count: int, sessions: int) -> Latency:
    progress(f"{count} measurements of {kind}")
    source = _Source(count)
    others: list[Monitor] = [_Busy(source)] if kind == BUSY else []
    apart = {"busy": Origin(Kind.PLUGIN), **({} if kind == BUILT_IN else {"bench": Origin(Kind.PLUGIN)})}
    engine = _populated(sessions)
    found = Discovery(monitors=(source, *others), origins=apart)
    arrived, handled = asyncio.run(_read(found, engine, count, sessions))
    return Latency(
        monitor=kind,
        sessions=sessions,
        arrival=_after(source.reported, arrived),
        handled=_after(source.reported, handled),
    )


async def _read(
    found: Discovery, engine: Engine, count: int, sessions: int
) -> tuple[list[float], list[float]]:
    """Return when each measurement was read, and when the engine had taken it in."""
    loop = asyncio.get_running_loop()
    arrived: list[float] = []
    handled: list[float] = []
    async with MonitorHost(found) as host:
        async for events in host:
            for event in events:
                arrived.append(time.perf_counter())
                decisions = engine.handle(event, loop.time())
                handled.append(time.perf_counter())
                if len(handled) % 2 and len(decisions) != sessions:
                    raise BenchmarkError(f"{len(decisions)} of {sessions} sessions were to move")
            if len(handled) == count:
                break
    return arrived, handled


def _populated(sessions: int) -> Engine:
    engine = Engine(parsed(POLICY))
    for event in links_up():
        engine.handle(event, 0.0)
    for number in range(sessions):
        request = Request(address=IPv4Address("192.0.2.9"), port=22)
        engine.add_session(session(f"s{number}", request), ("eth0", address_of(0)), 0.0)
    return engine


def _after(reported: Sequence[float], times: Sequence[float]) -> Summary:
    deciding = slice(None, None, 2)
    return summary(
        [(late - early) * 1e3 for early, late in zip(reported[deciding], times[deciding], strict=True)]
    )


def print_latencies(found: Sequence[Latency]) -> None:
    print(f"\nfrom a measurement's report, {found[0].sessions} sessions, in ms")
    print(f"  {'':40}{'median':>9} {'p99':>9} {'max':>9}   aim (median)")
    for each in found:
        print(f"  {each.monitor + ': it is read':40}{each.arrival}")
        print(f"  {'    all are to move':40}{each.handled}   {AIM_MS:g}")
