"""The file in which counts of links survive: written anew and renamed, so that it is whole at any time."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from monitors.usage import Record

FILE_NAME: Final = "counters.json"
SIZE_MAX: Final = 1 << 20
"""Bytes of the largest file that is read; one with all links and months has a tenth."""

_FORMAT: Final = 1


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    record: Record


class DamagedError(Exception):
    """The file is none of ours; the message says where it is kept and why."""


class UsageFile:
    """Keep a record.

    Args:
        folder: where; it is made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._lock = Lock()

    def load(self) -> Record | None:
        """Return what was kept, or nothing if nothing was.

        Raises:
            DamagedError: the file says nothing that can be used; it was renamed, and there is none now.
            OSError: it can't be read.
        """
        try:
            with self._file.open("rb") as file:
                data = file.read(SIZE_MAX + 1)
        except FileNotFoundError:
            return None
        try:
            return _decode(data)
        except ValueError as error:
            aside = self._set_aside()
            raise DamagedError(
                f"`{self._file}` is damaged ({error}); it is kept as `{aside.name}`"
            ) from error

    def save(self, record: Record) -> None:
        """Keep a record in the place of the last one.

        Raises:
            OSError: it can't be written; the last one stands.
        """
        with self._lock:  # a thread that saves is not stopped when its monitor is
            self._write(msgspec.json.encode(_Envelope(format=_FORMAT, record=record)))

    def _write(self, data: bytes) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._file.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else the name may reach the disk before what it names
        new.replace(self._file)

    def _set_aside(self) -> Path:
        names = (self._file.with_name(f"{FILE_NAME}.damaged-{number}") for number in count(1))
        aside = next(name for name in names if not name.exists())
        return self._file.rename(aside)


def _decode(data: bytes) -> Record:
    """Read a file.

    Raises:
        ValueError: it is none of ours, or says what can't be.
    """
    if len(data) > SIZE_MAX:
        raise ValueError(f"it is larger than {SIZE_MAX} bytes")
    envelope = msgspec.json.decode(data, type=_Envelope)
    if envelope.format != _FORMAT:
        raise ValueError(f"its format is {envelope.format}, and {_FORMAT} is expected")
    return envelope.record
