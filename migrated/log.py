"""Structured logs on standard error: one line per event, for people or for programs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

Format = Literal["text", "json"]

_FIELDS: Final = "migrate_fields"
_PLAIN: Final = re.compile(r"[^\s\"'=`\\]+")

_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)
"""Lowest level and priority of each class. Source: sd-daemon(3)."""


def configure(level: int | str = logging.INFO, format: Format = "text") -> None:  # noqa: A002
    """Send all logs of the process to standard error, in place of what was configured before.

    Args:
        level: the lowest level that is shown, as a number or an upper-case name.
        format: ``text`` for people: the event and its fields, after a time stamp or, where standard
            error goes to the journal of systemd, after the priority. ``json``: one object per line.

    Raises:
        ValueError: there is no such level.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if format == "json" else _Text(journal=_is_journal()))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def event(logger: logging.Logger, level: int, name: str, /, **fields: object) -> None:
    """Log that something happened.

    Args:
        logger: the logger of the module.
        level: one of ``logging.DEBUG`` to ``logging.CRITICAL``.
        name: what happened, one word such as ``moved``.
        fields: whatever tells more; text, numbers, truth values, lists and dictionaries of them.
    """
    logger.log(level, name, extra={_FIELDS: fields}, stacklevel=2)


def render(name: str, fields: Mapping[str, object]) -> str:
    """Return an event as one line that is safe to print: ``moved session=ab12 link=eth1``."""
    return printable(" ".join([name, *(f"{key}={_value(value)}" for key, value in fields.items())]))


def printable(text: str) -> str:
    """Return ``text`` with everything escaped that a terminal would act on: others chose these words."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


class _Text(logging.Formatter):
    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the event, with a traceback on lines of its own."""
        lines = [render(record.getMessage(), _fields(record))]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        prefix = self._prefix(record)
        return "\n".join(prefix + line for line in lines)

    def _prefix(self, record: logging.LogRecord) -> str:
        if self._journal:
            return f"<{_priority(record.levelno)}>"
        word = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{_stamp(record)} {word}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one JSON object."""
        line: dict[str, Any] = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "fields": _fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=_as_text)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: Mapping[str, object] = getattr(record, _FIELDS, {})
    return fields


def _stamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _priority(level: int) -> int:
    return next(priority for lowest, priority in _PRIORITIES if level >= lowest)


def _value(value: object) -> str:
    """Return a value so that the line can be taken apart again: as in JSON where it is not one word."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False, default=_as_text)


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _is_journal() -> bool:
    """Return whether standard error goes to the journal. Source: systemd.exec(5), JOURNAL_STREAM."""
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    status = os.fstat(sys.stderr.fileno())
    return stream == f"{status.st_dev}:{status.st_ino}"
