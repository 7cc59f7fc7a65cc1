"""Compare engine and oracle for some minutes, over seeds that no test has seen: `make soak MINUTES=10`."""

from __future__ import annotations

import sys
from random import SystemRandom
from time import monotonic

import click

from tests.engine.generated_run import case_of, failure, smaller

REPORT_S = 10.0


@click.command(help=__doc__)
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--seed", type=int, help="Run this case alone.")
def soak(minutes: float, seed: int | None) -> None:
    if seed is not None:
        sys.exit(show(seed))
    first, start = SystemRandom().randrange(1 << 48), monotonic()
    done, reported = 0, start
    click.echo(f"seeds from {first} on")
    while monotonic() < start + minutes * 60:
        if show(first + done):
            sys.exit(1)
        done += 1
        if monotonic() >= reported + REPORT_S:
            reported = monotonic()
            click.echo(f"{done} cases agree after {reported - start:.0f} s")
    click.echo(f"{done} cases agree")


def show(seed: int) -> int:
    """Run a case; where the two disagree, say how to see it again and show it as small as it gets."""
    if failure(case_of(seed)) is None:
        return 0
    small = smaller(case_of(seed), lambda trial: failure(trial) is not None)
    click.echo(f"they disagree: run `python -m tests.engine.generated_soak --seed {seed}`")
    click.echo(f"{failure(small)!r}\n{small}")
    return 1


if __name__ == "__main__":
    soak()
