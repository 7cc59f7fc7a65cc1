"""What it costs to suspend sessions and to resume them: time, memory, disk, descriptors.

The paper's counter, the example's shell and audio servers, their clients and both daemons run in the lab. The
client's links are cut, the server's daemon notices its silence, the program gives its session up; then a link
is plugged in.
"""

from __future__ import annotations

import sys

from _crowds import Crowd, Multitude, crowd_of, measure_multitude, print_crowds, print_multitude
from _figures import arguments, print_json, progress
from _footprints import Footprint, measure_footprint, print_footprints
from _stage import BenchmarkError, Stage
from _stages import Stages, print_stages, print_sums, stages_of, sum_of, summaries
from _subjects import SUBJECTS, Subject
from _suspending import Suspendable

from migrated.lab import ensure_privileged

PARTS = ["stages", "footprints", "crowds", "multitudes"]
MULTITUDE = 1_000
QUICK_CROWD = 2
QUICK_MULTITUDE = 100


def measure_stages(stage: Stage, name: str, subject: Subject, runs: int) -> list[Stages]:
    """Suspend and resume one session again and again; the first time, which fills caches, does not count."""
    running = Suspendable(stage, subject.program(stage), connect=subject.connect)
    try:
        found = []
        for number in range(runs + 1):
            (cycle,) = running.cycle()
            found.append(stages_of(cycle))
            progress(f"{name} {number}/{runs}: {found[-1].total:.1f} ms")
        return found[1:]
    finally:
        running.close()


def measure_crowd(stage: Stage, name: str, subject: Subject, count: int, rounds: int) -> Crowd:
    """Suspend and resume many sessions at once, some times, and return the median of the totals' sum."""
    running = Suspendable(stage, subject.program(stage), count, connect=subject.connect)
    try:
        crowds = [crowd_of(running.cycle()) for _ in range(rounds)]
    finally:
        running.close()
    crowds.sort(key=lambda crowd: crowd.suspend_total + crowd.resume_total)
    found = crowds[len(crowds) // 2]
    progress(f"{count} at once, {name}: {found.suspend_total:.0f} ms, {found.resume_total:.0f} ms")
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
    parser.add_argument("--program", choices=SUBJECTS, action="append", help="only this program")
    options = parser.parse_args()
    ensure_privileged()
    quick, only = options.quick, options.only or PARTS
    subjects = {name: SUBJECTS[name] for name in options.program or SUBJECTS}
    stages: dict[str, list[Stages]] = {}
    footprints: dict[str, Footprint] = {}
    crowds: dict[str, list[Crowd]] = {}
    for name, subject in subjects.items():
        if "footprints" in only:
            with Stage() as stage:
                footprints[name] = measure_footprint(stage, subject)
        if not {"stages", "crowds"}.isdisjoint(only):
            with Stage() as stage:
                if "stages" in only:
                    stages[name] = measure_stages(stage, name, subject, 1 if quick else options.runs)
                if "crowds" in only:
                    counts, rounds = ((QUICK_CROWD,), 1) if quick else (subject.at_once, options.rounds)
                    crowds[name] = [measure_crowd(stage, name, subject, count, rounds) for count in counts]
    multitude = QUICK_MULTITUDE if quick else options.multitude
    multitudes = [measure_alone(multitude)] if "multitudes" in only else []
    sums = {name: sum_of(found, SUBJECTS[name].paper) for name, found in stages.items()}
    if options.json:
        print_json(
            {
                "stages_ms": {name: summaries(found) for name, found in stages.items()},
                "sums_ms": sums,
                "footprints": footprints,
                "crowds_ms": crowds,
                "multitudes": multitudes,
            }
        )
        return
    for name, found in stages.items():
        print_stages(SUBJECTS[name].title, found, SUBJECTS[name].paper)
    if sums:
        print_sums({SUBJECTS[name].title: found for name, found in sums.items()})
    if footprints:
        print_footprints(footprints)
    for name, measured in crowds.items():
        print_crowds(SUBJECTS[name].title, measured)
    for very_many in multitudes:
        print_multitude(very_many)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
