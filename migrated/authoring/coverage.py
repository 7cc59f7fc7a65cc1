"""Which statements of a policy were in force in some test, and which in none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from policylang import DEFAULT_POLICY_FILE
from policylang.ast import On, Policy, Span, Statement, When, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCoverage:
    """How many statements of a file were in force in some test.

    Attributes:
        file: The policy file.
        statements: How many it has; an `on` or a `when` counts by what is in it.
        missed: Those that no test reached, in the order of the text.
    """

    file: str
    statements: int
    missed: tuple[Span, ...]

    @property
    def reached(self) -> int:
        """Return how many statements some test reached."""
        return self.statements - len(self.missed)

    @property
    def percent(self) -> float:
        """Return how many of a hundred statements some test reached; 100 of none."""
        return 100.0 * self.reached / self.statements if self.statements else 100.0

    @property
    def missed_lines(self) -> str:
        """Return the lines of what no test reached, runs of them as `3-5`."""
        return ", ".join(_runs(sorted({span.line for span in self.missed})))


def coverage(policies: Iterable[Policy], reached: Iterable[Span]) -> tuple[FileCoverage, ...]:
    """Return the coverage of every file of these policies but the one shipped with the program."""
    found = {span for policy in policies for span in _leaves(policy.statements)}
    met = set(reached)
    files = sorted({span.file for span in found} - {str(DEFAULT_POLICY_FILE)})
    return tuple(_of_file(file, sorted(span for span in found if span.file == file), met) for file in files)


def total_percent(files: Sequence[FileCoverage]) -> float:
    """Return how many of a hundred statements of all files some test reached; 100 of none."""
    statements = sum(file.statements for file in files)
    return 100.0 * sum(file.reached for file in files) / statements if statements else 100.0


def _of_file(file: str, spans: Sequence[Span], met: set[Span]) -> FileCoverage:
    missed = tuple(span for span in spans if span not in met)
    return FileCoverage(file=file, statements=len(spans), missed=missed)


def _leaves(statements: Iterable[Statement]) -> Iterator[Span]:
    """Return the places of the statements that hold no others."""
    return (statement.span for statement in walk(statements) if not isinstance(statement, On | When))


def _runs(lines: Sequence[int]) -> Iterator[str]:
    """Yield runs of numbers that follow one another."""
    start = None
    for line, following in zip(lines, (*lines, None)[1:], strict=True):
        start = line if start is None else start
        if following != line + 1:
            yield str(line) if start == line else f"{start}-{line}"
            start = None
