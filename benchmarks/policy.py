"""The policy language and its engine: decisions against those of others, many sessions, and long policies.

Every figure is the median of several, on this machine; what is compared is measured in turn. Times are the
processor's, so that other work on the machine counts little; that of a command is from start to end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from _aims import Aim, aim, machine, print_aims, print_machine
from _figures import arguments, print_json
from _policy_crowd import Crowd, crowd, print_crowd
from _policy_decisions import Parts, parts, print_parts
from _policy_texts import Text, command, print_texts, texts
from _policy_versus import contests, print_contests
from _stage import BenchmarkError

SIZES = (10, 100, 1000, 10_000)
QUICK_SIZES = (10, 100)
LINES = (1000, 10_000)
QUICK_LINES = (100, 200)
SESSIONS, QUICK_SESSIONS = 100_000, 1000
CLASSES = 100

COMMAND = "`migrate policy check` on Figure 10"

AIM_DECISION_US = 10.0
AIM_EXPLAIN_RATIO = 2.0
AIM_EVENT_MS = 100.0
AIM_CHECK_MS = {1000: 60.0, 10_000: 700.0}
AIM_COMMAND_MS = 200.0


def crowd_aims(found: Crowd) -> list[Aim]:
    names = ("link lost", "last link lost")
    what = f"{found.sessions:,} sessions, {{}}, to all decisions"
    return [aim(what.format(name), "ms", found.ms[name].median, AIM_EVENT_MS) for name in names]


def text_aims(rows: list[Text]) -> list[Aim]:
    return [
        aim(f"parse and check {row.lines:,} lines", "ms", row.check_ms.median, AIM_CHECK_MS[row.lines])
        for row in rows
        if row.lines in AIM_CHECK_MS
    ]


def part_aims(rows: list[Parts]) -> list[Aim]:
    decisions = [
        aim(f"classify and judge, {row.rules:,} rules", "us", row.decide_us.median, AIM_DECISION_US)
        for row in rows
        if row.rules == 1000
    ]
    worst = max(rows, key=lambda row: row.ratio.median)
    return [*decisions, aim("explain to decide, the worst", "times", worst.ratio.median, AIM_EXPLAIN_RATIO)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What was measured of one topic, for machines and for people."""

    results: dict[str, object]
    aims: list[Aim]
    show: Callable[[], None]


def of_crowd(quick: bool, rounds: int) -> Topic:
    found = crowd(QUICK_SESSIONS if quick else SESSIONS, CLASSES, rounds)
    return Topic(results={"crowd": found}, aims=crowd_aims(found), show=lambda: print_crowd(found))


def of_texts(quick: bool, rounds: int) -> Topic:
    found, took = texts(QUICK_LINES if quick else LINES, rounds), command(rounds)
    aims = [*text_aims(found), aim(COMMAND, "ms", took.wall_ms.median, AIM_COMMAND_MS)]
    results = {"texts": found, "command": took}
    return Topic(results=results, aims=aims, show=lambda: print_texts(found, took))


def of_parts(quick: bool, rounds: int) -> Topic:
    found = parts(QUICK_SIZES if quick else SIZES, rounds)
    return Topic(results={"parts": found}, aims=part_aims(found), show=lambda: print_parts(found))


def of_contests(quick: bool, rounds: int) -> Topic:
    found = contests(QUICK_SIZES if quick else SIZES, rounds)
    return Topic(results={"contests": found}, aims=[], show=lambda: print_contests(found))


# The crowd comes first, while the process has nothing else in its memory.
TOPICS = {"crowd": of_crowd, "texts": of_texts, "parts": of_parts, "contests": of_contests}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=9, help="measurements for each figure (9)")
    parser.add_argument("--only", choices=tuple(TOPICS), action="append", help="only this topic")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    before = machine()
    topics = [
        measure(options.quick, rounds)
        for name, measure in TOPICS.items()
        if not options.only or name in options.only
    ]
    aims = [row for topic in topics for row in topic.aims]
    if options.json:
        found = {name: result for topic in topics for name, result in topic.results.items()}
        print_json({"machine": before, **found, "aims": aims})
        return
    print_machine(before)
    print()
    for topic in topics:
        topic.show()
        print()
    print_aims(aims)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
