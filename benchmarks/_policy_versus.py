"""Decisions per second among many rules: ours and the engines of others, in turn, in one run.

Before anything is timed every system must answer some dozens of requests as one would by hand.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from time import process_time

from _figures import Summary, progress, summary
from _policy_engine import Decider, session
from _policy_peers import PEERS, Loaded, Peer
from _policy_rules import Request, Rule, first_match, last_one, probes, rules
from _stage import BenchmarkError

OURS = "migrate"
OUR_FORM = "a compiled policy, `remote-ip`; eight links are scored as well"
BURST_S = 0.02
PROBES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What one system needs for a decision when the last of so many rules is the one that matches.

    Attributes:
        us: Microseconds for one decision; ``None`` if the system is not here, and ``note`` says so.
        per_second: Decisions per second.
        ratio: How many times as long as ours, of bursts that follow each other.
        load_s: Seconds to take the rules in, once.
    """

    rules: int
    system: str
    version: str
    form: str
    us: Summary | None
    per_second: float | None
    ratio: Summary | None
    load_s: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Contestant:
    """A system that is ready to be timed; ``ask`` decides once about the last rule's request."""

    peer: Peer | None
    ask: Callable[[], object]
    load_s: float
    loops: int


def contests(sizes: Sequence[int], rounds: int) -> list[Contest]:
    """Measure every system that is installed, with so many rules each.

    Raises:
        BenchmarkError: a system decided otherwise than the rules say.
    """
    return [row for size in sizes for row in _contest(size, rounds)]


def _contest(size: int, rounds: int) -> list[Contest]:
    among = rules(size)
    requests = probes(among, PROBES)
    ready = [_enter(None, among, requests)]
    rows = []
    for peer in PEERS:
        if find_spec(peer.module) is None:
            rows.append(_absent(peer, size))
        else:
            ready.append(_enter(peer, among, requests))
    progress(f"{size} rules: {len(ready)} systems decide alike; {rounds} rounds of each in turn")
    gc.collect()
    times = [[_burst_us(contestant) for contestant in ready] for _ in range(rounds)]
    for place, contestant in enumerate(ready):
        mine = [figures[place] for figures in times]
        rows.append(_row(contestant, size, mine, [figures[0] for figures in times]))
    return sorted(rows, key=lambda row: row.us.median if row.us else float("inf"))


def _enter(peer: Peer | None, among: Sequence[Rule], requests: Sequence[Request]) -> _Contestant:
    """Load a system with the rules and let it answer the requests."""
    name = peer.package if peer else OURS
    progress(f"{len(among)} rules into {name}")
    begun = process_time()
    loaded = peer.load(import_module(peer.module), among) if peer else _ours(among)
    load_s = process_time() - begun
    for request in requests:
        given, right = loaded.decide(loaded.prepare(request)), first_match(among, request)
        if given != right:
            where = f"{request.address} port {request.port} among {len(among)} rules"
            raise BenchmarkError(f"{name} decides wrongly for {where}: `{given}`, not `{right}`")
    prepared = loaded.prepare(last_one(among))

    def ask() -> object:
        return loaded.decide(prepared)

    return _Contestant(peer=peer, ask=ask, load_s=load_s, loops=_loops(ask))


def _ours(among: Sequence[Rule]) -> Loaded:
    decider = Decider(among, families=(4, 6))

    def decide(prepared: object) -> str | None:
        return decider.link(prepared)  # type: ignore[arg-type] # what `prepare` makes

    return Loaded(lambda request: session("s", request), decide)


def _loops(ask: Callable[[], object]) -> int:
    """Return how many decisions are a burst; one that takes longer is a burst by itself."""
    begun = process_time()
    ask()
    return max(1, round(BURST_S / max(process_time() - begun, 1e-6)))


def _burst_us(contestant: _Contestant) -> float:
    ask = contestant.ask
    begun = process_time()
    for _ in range(contestant.loops):
        ask()
    return 1e6 * (process_time() - begun) / contestant.loops


def _absent(peer: Peer, size: int) -> Contest:
    return Contest(
        rules=size,
        system=peer.package,
        version="",
        form=peer.form,
        us=None,
        per_second=None,
        ratio=None,
        load_s=None,
        note=f"not installed: pip install {peer.package}",
    )


def _row(contestant: _Contestant, size: int, mine: list[float], ours: list[float]) -> Contest:
    peer, us = contestant.peer, summary(mine)
    return Contest(
        rules=size,
        system=peer.package if peer else OURS,
        version=version(peer.package) if peer else version("migrate-sessions"),
        form=peer.form if peer else OUR_FORM,
        us=us,
        per_second=1e6 / us.median,
        ratio=summary([theirs / own for theirs, own in zip(mine, ours, strict=True)]),
        load_s=contestant.load_s,
    )


def print_contests(rows: Sequence[Contest]) -> None:
    print(
        "decisions of several systems; the last of N rules with a prefix and a port is the one that matches"
    )
    for size in dict.fromkeys(row.rules for row in rows):
        print(f"  N = {size:<18} us, median      least   decisions/s   ratio to ours    loads in s")
        for row in rows:
            if row.rules == size:
                print(f"    {row.system:18} {_figures(row)}")
    for row in rows[: len(PEERS) + 1]:
        print(f"  {row.system} {row.version}: {row.form}")


def _figures(row: Contest) -> str:
    if row.us is None or row.ratio is None:
        return row.note
    figures = f"{row.us.median:10.2f} {row.us.least:10.2f} {row.per_second:13,.0f}"
    return f"{figures} {row.ratio.median:15.2f} {row.load_s:13.2f}"
