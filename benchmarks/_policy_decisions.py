"""The parts of one decision of ours: the class of a session, the judgement, and the explanation of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import process_time

from _figures import Summary, progress, summary
from _policy_engine import Decider, address_of, session
from _policy_rules import last_one, rules

from engine.judge import CALM, Position, judge

LOOPS = 500
AT_HOME = Position(current=("eth0", address_of(0)))
"""Where a session of `session` is: its best link is another one, the challenger that has yet to settle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Microseconds for each part of a decision, among so many rules of which the last matches.

    ``ratio`` is that of an explanation to a decision, measured in turn.
    """

    rules: int
    classify_us: Summary
    judge_us: Summary
    decide_us: Summary
    explain_us: Summary
    ratio: Summary


def parts(sizes: Sequence[int], rounds: int) -> list[Parts]:
    """Measure each part in turn, ``rounds`` times."""
    return [_parts(size, rounds) for size in sizes]


def _parts(size: int, rounds: int) -> Parts:
    progress(f"the parts of a decision among {size} rules")
    among = rules(size)
    decider, described = Decider(among), session("s", last_one(among))
    group = decider.rules.classify(described).variant(frozenset())
    works: tuple[Callable[[], object], ...] = (
        lambda: decider.rules.classify(described),
        lambda: judge(group, AT_HOME, CALM, decider.world, 0.0),
        lambda: decider.decide(described, AT_HOME),
        lambda: decider.engine.explain(described, 0.0),
    )
    times = [[_each_us(work) for work in works] for _ in range(rounds)]
    classify, judged, decide, explain = (summary(column) for column in zip(*times, strict=True))
    return Parts(
        rules=size,
        classify_us=classify,
        judge_us=judged,
        decide_us=decide,
        explain_us=explain,
        ratio=summary([row[3] / row[2] for row in times]),
    )


def _each_us(work: Callable[[], object]) -> float:
    begun = process_time()
    for _ in range(LOOPS):
        work()
    return 1e6 * (process_time() - begun) / LOOPS


def print_parts(rows: Sequence[Parts]) -> None:
    print(
        "a decision of ours, us (median, and least)     classify          judge       together        explain"
    )
    for row in rows:
        columns = (row.classify_us, row.judge_us, row.decide_us, row.explain_us)
        figures = "".join(f"  {column.median:6.2f} ({column.least:5.2f})" for column in columns)
        print(f"  {row.rules:>6} rules with prefix and port           {figures}")
