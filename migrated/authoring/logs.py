"""Event logs on the disk: their lines in order, what can't be read left out and told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from migrated.recording import entries
from migrated.recording.entries import BadLineError, Entry, decode_line


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that can't be read, and why."""

    file: Path
    line: int
    why: str


def _ignore(_: object) -> None:
    """Do nothing."""


def read_log(
    files: Iterable[Path],
    *,
    bad: Callable[[BadLine], None] = _ignore,
    read: Callable[[int], None] = _ignore,
) -> Iterator[Entry]:
    """Yield the entries of the parts of a log, one after the other; a line at a time is in memory.

    Args:
        files: The parts, in the order of time.
        bad: Called for each line that can't be read.
        read: Called with the size, in bytes, of each line that was.

    Raises:
        OSError: a file can't be read.
    """
    for path in files:
        with path.open("rb") as file:
            for number, line in _lines(file):
                read(len(line))
                try:
                    yield decode_line(line)
                except BadLineError as problem:
                    bad(BadLine(file=path, line=number, why=str(problem)))


def in_order(files: Iterable[Path]) -> list[Path]:
    """Return the parts of a log in the order of time, by the first line of each that can be read.

    Raises:
        OSError: a file can't be read.
    """
    return sorted(files, key=lambda file: (_begin(file), file.name))


def _begin(path: Path) -> float:
    """Return when a part begins, in seconds since the epoch; 0 where no line says it."""
    return next((entry.wall for entry in read_log([path])), 0.0)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each line; of one that is too long only so much as shows that it is."""
    limit, number = entries.MAX_LINE_BYTES + 1, 0
    while line := file.readline(limit):
        number += 1
        yield number, line
        while len(line) == limit and not line.endswith(b"\n"):
            line = file.readline(limit)
