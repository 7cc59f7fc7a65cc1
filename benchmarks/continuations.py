"""What it costs to suspend sessions and to resume them: time, memory, disk, descriptors.

The counter of the paper, its client and both daemons run in the lab. The client's links are cut, the server's
daemon notices its silence, the program gives its session up; then a link is plugged in.
"""

from __future__ import annotations

import sys

from _figures import arguments, print_json, progress
from _stage import BenchmarkError, Stage
from _stages import BENCHMARK, Stages, print_stages, stages_of, summaries
from _suspending import Suspendable, counter

from migrated.lab import ensure_privileged

STYLES = {"internal": BENCHMARK, "complete": BENCHMARK}


def measure_stages(stage: Stage, style: str, runs: int) -> list[Stages]:
    """Suspend and resume one session again and again; the first time, which fills caches, does not count."""
    program = Suspendable(stage, counter(style))
    try:
        found = []
        for number in range(runs + 1):
            (cycle,) = program.cycle()
            found.append(stages_of(cycle))
            progress(f"counter, {style} {number}/{runs}: {found[-1].total:.1f} ms")
        return found[1:]
    finally:
        program.close()


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--runs", type=int, default=5, help="runs of each program (5, as in the paper)")
    options = parser.parse_args()
    ensure_privileged()
    runs = 1 if options.quick else options.runs
    with Stage() as stage:
        stages = {style: measure_stages(stage, style, runs) for style in STYLES}
    if options.json:
        print_json({"stages_ms": {style: summaries(found) for style, found in stages.items()}})
        return
    for style, found in stages.items():
        print_stages(f"the counter, {style} continuations", found, STYLES[style])


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
