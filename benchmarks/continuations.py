"""What it costs to suspend sessions and to resume them: time, memory, disk, descriptors.

The paper's counter, the example's shell server, their clients and both daemons run in the lab. The client's
links are cut, the server's daemon notices its silence, the program gives its session up; then a link is
plugged in.
"""

from __future__ import annotations

import sys

from _crowds import Crowd, Multitude, crowd_of, measure_multitude, print_crowds, print_multitude
from _figures import arguments, print_json, progress
from _footprints import Footprint, measure_footprint, print_footprints
from _shell import Ssh, shell_server
from _stage import BenchmarkError, Stage
from _stages import BENCHMARK, SHELL, Stages, print_stages, stages_of, summaries
from _suspending import COMPLETE, INTERNAL, PLAIN, PLAIN_PROCESS, Program, Suspendable

from migrated.lab import ensure_privileged

STYLES = {"internal": (PLAIN, INTERNAL), "complete": (PLAIN_PROCESS, COMPLETE)}
TITLES = {
    "internal": "the counter, internal continuations",
    "complete": "the counter, complete continuations",
    "shell": "the shell server, complete continuations",
}
REFERENCES = {"internal": BENCHMARK, "complete": BENCHMARK, "shell": SHELL}
AT_ONCE = (2, 4, 8, 16, 32, 64)
MULTITUDE = 1_000


def measure_stages(name: str, running: Suspendable, runs: int) -> list[Stages]:
    """Suspend and resume one session again and again; the first time, which fills caches, does not count."""
    try:
        found = []
        for number in range(runs + 1):
            (cycle,) = running.cycle()
            found.append(stages_of(cycle))
            progress(f"{name} {number}/{runs}: {found[-1].total:.1f} ms")
        return found[1:]
    finally:
        running.close()


def measure_crowd(stage: Stage, style: str, program: Program, count: int, rounds: int) -> Crowd:
    """Suspend and resume many sessions at once, some times, and return the median of the totals' sum."""
    running = Suspendable(stage, program, count)
    try:
        crowds = [crowd_of(running.cycle()) for _ in range(rounds)]
    finally:
        running.close()
    crowds.sort(key=lambda crowd: crowd.suspend_total + crowd.resume_total)
    found = crowds[len(crowds) // 2]
    progress(f"{count} at once, {style}: {found.suspend_total:.0f} ms, {found.resume_total:.0f} ms")
    return found


def measure_alone(count: int) -> Multitude:
    """Measure very many sessions with daemons of their own."""
    with Stage() as stage:
        return measure_multitude(stage, count)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--runs", type=int, default=5, help="runs of each program (5, as in the paper)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each crowd (3, as in the paper)")
    parser.add_argument("--multitude", type=int, default=MULTITUDE, help="sessions of one program (1000)")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part")
    options = parser.parse_args()
    ensure_privileged()
    runs, rounds = (1, 1) if options.quick else (options.runs, options.rounds)
    at_once, multitude = ((2,), 100) if options.quick else (AT_ONCE, options.multitude)
    only = options.only or PARTS
    stages: dict[str, list[Stages]] = {}
    footprints: dict[str, Footprint] = {}
    crowds: dict[str, list[Crowd]] = {}
    with Stage() as stage:
        for style, (_, program) in STYLES.items():
            if "stages" in only:
                stages[style] = measure_stages(f"counter, {style}", Suspendable(stage, program), runs)
            if "crowds" in only:
                crowds[style] = [measure_crowd(stage, style, program, n, rounds) for n in at_once]
        if "stages" in only:
            stages["shell"] = measure_stages(
                "shell server", Suspendable(stage, shell_server(stage), connect=Ssh), runs
            )
    for style, (plain, program) in STYLES.items() if "footprints" in only else ():
        with Stage() as stage:
            footprints[style] = measure_footprint(stage, plain, program)
    found = [measure_alone(multitude)] if "multitudes" in only else []
    if options.json:
        print_json(
            {
                "stages_ms": {style: summaries(measured) for style, measured in stages.items()},
                "footprints": footprints,
                "crowds_ms": crowds,
                "multitudes": found,
            }
        )
        return
    for style, measured in stages.items():
        print_stages(TITLES[style], measured, REFERENCES[style])
    if footprints:
        print_footprints(footprints)
    for style, measured_crowds in crowds.items():
        print_crowds(style, measured_crowds)
    for very_many in found:
        print_multitude(very_many)


PARTS = ["stages", "footprints", "crowds", "multitudes"]

if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
