"""The files of an event log: numbered, bounded in size and number, and readable by their owner alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SUFFIX: Final = ".jsonl"

_NAME: Final = re.compile(r"events-(\d{8})\.jsonl")


class LogFiles:
    """A folder of log files of which the one with the highest number is written.

    Args:
        folder: is made when the first file is begun.
        most: how many files there are at most; the oldest are removed for new ones.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._descriptor: int | None = None
        self._size = 0

    @property
    def size(self) -> int:
        """Return how many bytes are in the file that is written; 0 if there is none."""
        return self._size

    def begin(self) -> None:
        """Begin another file, and remove the oldest ones that are too many.

        Raises:
            OSError: that can't be done; there is no file to write then.
        """
        self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = sorted(self._numbers())
        for number in numbers[: max(0, len(numbers) - self._most + 1)]:
            self._path(number).unlink(missing_ok=True)
        path = self._path(numbers[-1] + 1 if numbers else 1)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._size = 0

    def write(self, lines: Iterable[bytes]) -> None:
        """Write lines, all or none: a disk that fills halfway leaves no half line.

        Raises:
            OSError: they can't be written, or there is no file; there is none afterwards.
        """
        if self._descriptor is None:
            self.begin()
        assert self._descriptor is not None
        data = memoryview(b"".join(lines))
        begun_at = self._size
        try:
            while data:
                written = os.write(self._descriptor, data)
                self._size += written
                data = data[written:]
        except OSError:
            os.ftruncate(self._descriptor, begun_at)
            self.close()
            raise

    def close(self) -> None:
        """Write no more to the file; the next write begins another one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._size = None, 0

    def _numbers(self) -> list[int]:
        found = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return [int(name[1]) for name in found if name]

    def _path(self, number: int) -> Path:
        return self._folder / f"events-{number:08}{SUFFIX}"
