"""What benchmarks share about aims: a figure beside the most that it should be, and where it was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure, the most that it should be, and whether it is."""

    what: str
    unit: str
    figure: float
    aim: float
    met: bool


def aim(what: str, unit: str, figure: float, most: float) -> Aim:
    return Aim(what=what, unit=unit, figure=figure, aim=most, met=figure <= most)


def print_aims(rows: Sequence[Aim]) -> None:
    print("figure                                                       is         aim")
    for row in rows:
        verdict = "met" if row.met else "missed"
        print(f"  {row.what:50} {row.figure:10.2f}  {row.aim:8g} {row.unit:5} {verdict}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it was measured, and how many processors others wanted in the minute before."""

    processors: int
    busy: float
    python: str


def machine() -> Machine:
    return Machine(processors=os.cpu_count() or 1, busy=os.getloadavg()[0], python=platform.python_version())


def print_machine(found: Machine) -> None:
    print(f"{found.processors} processors, of which others want {found.busy:.1f}; Python {found.python}")
