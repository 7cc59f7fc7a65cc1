"""What the daemons report, in words for people. An event that a person needs not see has none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from migrated.demo.daemon import Heard

_PLACE = re.compile(r"\((?:[^()\s]*/)([^()\s/]+:\d+)\)")

Fields = Mapping[str, Any]


def describe(heard: Heard) -> str | None:
    """Return a line about what was reported, or ``None`` if there is nothing to say."""
    words = _WORDS.get(heard.report.event)
    return None if words is None else f"{heard.host}: {words(heard.report.fields)}"


def reasons(heard: Heard) -> tuple[str, ...]:
    """Return why a decision was made, each with the file and line of the policy if it has one."""
    return tuple(_PLACE.sub(r"(\1)", str(reason)) for reason in heard.report.fields.get("because", ()))


def milliseconds(value: float | None) -> str:
    """Return a time in milliseconds for people."""
    return "?" if value is None else f"{value:.1f} ms"


def _adopted(fields: Fields) -> str:
    return f"adopted the connection of {fields['program']} on {fields['link']}"


def _moved(fields: Fields) -> str:
    return f"moved {fields['came_from']} -> {fields['to']}, {_stood_still(fields)}"


def _resumed(fields: Fields) -> str:
    return f"resumed on {fields['to']}, {_stood_still(fields)}"


def _followed(fields: Fields) -> str:
    return f"followed, {_stood_still(fields)}"


def _stood_still(fields: Fields) -> str:
    return f"{fields.get('program', 'the program')} stood still for {milliseconds(fields.get('stopped_ms'))}"


def _refused(fields: Fields) -> str:
    return f"refused: {fields.get('reason', 'no reason given')}"


def _left_alone(fields: Fields) -> str:
    return f"left the connection of {fields['program']} alone: {fields['reason']}"


_WORDS: Mapping[str, Callable[[Fields], str]] = {
    "adopted": _adopted,
    "moved": _moved,
    "resumed": _resumed,
    "followed": _followed,
    "refused": _refused,
    "left-alone": _left_alone,
    "suspended": lambda fields: "suspended: the session waits",
    "link-up": lambda fields: f"{fields['link']} is up",
    "link-down": lambda fields: f"{fields['link']} is down",
    "peer-silent": lambda fields: f"nothing heard from the daemon of {fields.get('peer', 'the peer')}",
    "ended": lambda fields: "the session has ended",
}
