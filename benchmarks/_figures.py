"""What the benchmarks share about figures: order statistics, and tables that people can read."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Some measurements of one thing. The unit is that of the measurements."""

    count: int
    least: float
    median: float
    p99: float
    most: float

    def __str__(self) -> str:
        """Return a line's worth of it."""
        figures = f"{self.median:9.2f} {self.p99:9.2f} {self.most:9.2f}"
        return f"{figures}   (least {self.least:.2f}, {self.count} of them)"


def summary(values: Sequence[float]) -> Summary:
    """Summarise measurements, of which there must be one at least; p99 is by nearest rank."""
    ordered = sorted(values)
    rank = math.ceil(0.99 * len(ordered))
    return Summary(
        count=len(ordered),
        least=ordered[0],
        median=statistics.median(ordered),
        p99=ordered[rank - 1],
        most=ordered[-1],
    )


def rounded(value: object) -> object:
    """Return the value as JSON is to show it: summaries as objects, four digits after the point."""
    if is_dataclass(value) and not isinstance(value, type):
        return rounded(asdict(value))
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return round(value, 4) if isinstance(value, float) else value


def print_json(result: object) -> None:
    """Print one JSON object."""
    print(json.dumps(rounded(result), indent=2))


def progress(text: str) -> None:
    """Tell the person who waits how far it is."""
    print(f"  {text}", file=sys.stderr, flush=True)


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="few measurements: shows that it works, no more")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
