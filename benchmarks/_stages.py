"""Table IV of the paper: what takes how long when a session is suspended and resumed on the same host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from _figures import Summary, summary
from _suspending import Cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Milliseconds of one session, cut as in Table IV; they add up to ``total`` but for the last one.

    Attributes:
        suspend: from the program's being told to its continuation's being on disk, its connection released.
        authentication: the client's request on its way, its check, and the connection's being made again.
        notification: until the library has the session; a process is started meanwhile, if need be.
        delay: until the program's own code has it.
        continuation: until the client's program has read the first byte that it wrote.
        total: suspend and resume.
        own: the part of ``suspend`` in which the program had not looked yet.
        migration: until both daemons are done with the connection; beside the other stages.
        silence: in seconds, from the cut until the server's daemon acted.
        decision: from the link's return to the client's daemon's decision.
    """

    suspend: float
    authentication: float
    notification: float
    delay: float
    continuation: float
    total: float
    own: float
    migration: float
    silence: float
    decision: float


def stages_of(cycle: Cycle) -> Stages:
    suspend = 1e3 * (cycle.given_up - cycle.suspended)
    return Stages(
        suspend=suspend,
        authentication=1e3 * (cycle.followed - cycle.moving),
        notification=1e3 * (cycle.told - cycle.followed),
        delay=1e3 * (cycle.called - cycle.told),
        continuation=1e3 * (cycle.heard - cycle.called),
        total=suspend + 1e3 * (cycle.heard - cycle.moving),
        own=1e3 * (cycle.giving - cycle.suspended),
        migration=1e3 * (cycle.resumed - cycle.moving),
        silence=cycle.suspended - cycle.cut,
        decision=1e3 * (cycle.moving - cycle.plugged),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the paper says of a program, as it writes it, and our aim for the whole, in milliseconds."""

    suspend: str
    authentication: str
    notification: str
    delay: str
    continuation: str
    total: str
    aim: float


BENCHMARK = Reference(
    suspend="0.27",
    authentication="1.37",
    notification="54.23",
    delay="0.02",
    continuation="1.21",
    total="57",
    aim=10,
)
SHELL = Reference(
    suspend="0.35",
    authentication="1.09",
    notification="56.66",
    delay="1.38",
    continuation="1.23",
    total="61",
    aim=40,
)
AUDIO_REFERENCE = Reference(
    suspend="61-99",
    authentication="1.01",
    notification="2.31",
    delay="88-170",
    continuation="0.86",
    total="153",
    aim=20,
)
"""Source: the Migrate paper, Table IV, same host; client authentication and migration are added up."""

ROWS = {
    "suspend": "application suspend",
    "own": "  until the program looks",
    "authentication": "authentication, migration",
    "notification": "application notification",
    "delay": "application service delay",
    "continuation": "application continuation",
    "total": "end to end",
    "migration": "  both daemons are done",
    "decision": "  decision, before",
}


def summaries(found: Sequence[Stages]) -> dict[str, Summary]:
    """Return the figures of each stage."""
    return {name: summary([getattr(stages, name) for stages in found]) for name in (*ROWS, "silence")}


def print_stages(name: str, found: Sequence[Stages], paper: Reference) -> None:
    print(f"\nstages of {name}, {len(found)} runs, in ms; aim: {paper.aim:g} end to end")
    print(f"  {'':28}{'median':>9} {'p99':>9} {'max':>9}   {'paper':>8}")
    for field, figures in summaries(found).items():
        if field in ROWS:
            row = f"{figures.median:9.2f} {figures.p99:9.2f} {figures.most:9.2f}"
            print(f"  {ROWS[field]:28}{row}   {getattr(paper, field, ''):>8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Suspend and resume of one program, in milliseconds, beside what they are compared with."""

    paper: float
    aim: float
    median: float
    met: bool


def sum_of(found: Sequence[Stages], paper: Reference) -> Sum:
    median = summary([stages.total for stages in found]).median
    return Sum(paper=float(paper.total), aim=paper.aim, median=median, met=median <= paper.aim)


def print_sums(sums: Mapping[str, Sum]) -> None:
    """Print each program's sum by its title."""
    print("\nsuspend and resume, same host, medians in ms")
    print(f"  {'':40}{'ours':>8} {'paper':>8} {'aim':>8}")
    for title, found in sums.items():
        mark = "" if found.met else "   missed"
        print(f"  {title:40}{found.median:8.1f} {found.paper:8g} {found.aim:8g}{mark}")
