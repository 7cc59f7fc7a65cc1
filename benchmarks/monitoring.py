"""Monitors: what watching costs, how soon an event is decided about, and how soon a dead link is left.

*rto* reads the retransmission time-outs of many connections, by our ways and by others', in one run. *rest*
has idle connections adopted and looks at what both daemons take. *events* cuts cables, and measures in one
process how long measurements take to the engine. *dead* has links drop everything while they stay up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from _aims import Aim, aim, machine, print_aims, print_machine
from _at_rest import AIM_CPU_PERCENT, AIM_RSS_MB, AtRest, measure_at_rest, print_at_rest
from _cuts import AIM_DECISION_MS, Reaction, measure_cuts, print_cuts
from _dead_links import AIM_S, Rescue, measure_dead_links, print_dead_links
from _figures import arguments, print_json, progress
from _latency import AIM_MS, Latency, measure_latencies, print_latencies
from _rto import COUNTS, measure, print_costs
from _stage import BenchmarkError, Stage

from migrated.lab import ensure_privileged


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured.

    Attributes:
        counts: numbers of connections whose time-outs are read.
        rounds: readings of each kind.
        adopted: connections of the daemons at rest.
        rest_s: for how long they are looked at.
        cuts: of cables.
        measurements: of each kind of monitor.
        dead: links that drop everything, one after the other.
    """

    counts: tuple[int, ...] = COUNTS
    rounds: int = 9
    adopted: int = 1000
    rest_s: float = 60.0
    cuts: int = 100
    measurements: int = 2000
    dead: int = 10


QUICK = Extent(counts=(20, 100), rounds=1, adopted=50, rest_s=2.0, cuts=2, measurements=50, dead=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What was measured of one topic, for machines and for people."""

    results: dict[str, object]
    aims: Sequence[Aim]
    show: Callable[[], None]


def of_rto(extent: Extent) -> Topic:
    progress(f"time-outs of {extent.counts} connections are read {extent.rounds} times in each way")
    found = measure(extent.counts, extent.rounds)
    return Topic(results={"rto": found}, aims=(), show=lambda: print_costs(found))


def of_rest(extent: Extent) -> Topic:
    with Stage() as stage:
        found = measure_at_rest(stage, extent.adopted, extent.rest_s)
    return Topic(results={"rest": found}, aims=rest_aims(found), show=lambda: print_at_rest(found))


def of_events(extent: Extent) -> Topic:
    measured = measure_latencies(extent.measurements)
    with Stage() as stage:
        cuts = measure_cuts(stage, extent.cuts)

    def show() -> None:
        print_cuts(cuts)
        print_latencies(measured)

    results = {"cuts": cuts, "measurements": measured}
    return Topic(results=results, aims=event_aims(cuts, measured), show=show)


def of_dead(extent: Extent) -> Topic:
    found = measure_dead_links(extent.dead)
    return Topic(results={"dead": found}, aims=dead_aims(found), show=lambda: print_dead_links(found))


def rest_aims(found: Sequence[AtRest]) -> list[Aim]:
    rows = []
    for each in found:
        what = f"{each.host}'s daemon at rest, {each.connections:,} connections"
        rows.append(aim(what, "% cpu", each.cpu_percent, AIM_CPU_PERCENT))
        rows.append(aim(what, "MB", each.rss_mb, AIM_RSS_MB))
    return rows


def event_aims(cuts: Reaction, measured: Sequence[Latency]) -> list[Aim]:
    return [
        aim("cable cut to decision, median", "ms", cuts.decision.median, AIM_DECISION_MS),
        *(aim(f"report to decision, {row.monitor}", "ms", row.handled.median, AIM_MS) for row in measured),
    ]


def dead_aims(found: Sequence[Rescue]) -> list[Aim]:
    return [aim(f"dead link left, {row.traffic}, slowest", "s", row.moved_s.most, AIM_S) for row in found]


TOPICS = {"rto": of_rto, "rest": of_rest, "events": of_events, "dead": of_dead}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", choices=tuple(TOPICS), action="append", help="only this topic")
    options = parser.parse_args()
    ensure_privileged()
    before = machine()
    extent = QUICK if options.quick else Extent()
    topics = [of(extent) for name, of in TOPICS.items() if not options.only or name in options.only]
    aims = [row for topic in topics for row in topic.aims]
    if options.json:
        found = {name: result for topic in topics for name, result in topic.results.items()}
        print_json({"machine": before, **found, "aims": aims})
        return
    print_machine(before)
    for topic in topics:
        topic.show()
    if aims:
        print()
        print_aims(aims)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
