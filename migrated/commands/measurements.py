"""How commands put what monitors say: values with their units, what they are about, and events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from migrated.commands.wording import counted
from migrated.control.messages import MISSED
from migrated.control.observations import FactReport
from migrated.log import render

_SCALES: Final[Mapping[str, tuple[tuple[float, str], ...]]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bit/s": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")),
    "byte": ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
}
"""Of a fact's unit: those that people read, the largest first, and what each counts in it."""

_AS_WRITTEN: Final = {"dbm": "dBm"}
_HOST: Final = "host"
_DIGITS: Final = 3
_LARGE: Final = 1e5
_SHORT_ID: Final = 8


def value_text(value: float | bool | str | None, unit: str) -> str:
    """Return a value as people write it: ``200 ms``, ``-61 dBm``, ``12.4 Mbit/s``, ``yes``.

    Args:
        value: In ``unit``; ``None`` is one that is not known.
        unit: The fact's, as in `monitors.facts.UNITS`.
    """
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    size, name = _scale(value, unit)
    return f"{_number(value / size, rounded=unit in _SCALES)} {name}".rstrip()


def _scale(value: float, unit: str) -> tuple[float, str]:
    """Return the largest unit of which a value has at least one, after it is rounded."""
    scales = _SCALES.get(unit, ((1.0, _AS_WRITTEN.get(unit, unit)),))
    if not value:
        return (1.0, dict(scales)[1.0])
    rounded = abs(float(f"{value:.{_DIGITS}g}"))
    return next((scale for scale in scales if rounded >= scale[0]), scales[-1])


def _number(value: float, *, rounded: bool) -> str:
    """Return a number, rounded to a few digits unless they stand before the point, where all are told."""
    if rounded and abs(value) < 10**_DIGITS:
        return f"{float(f'{value:.{_DIGITS}g}'):g}"
    return f"{value:.0f}" if float(value).is_integer() or abs(value) >= _LARGE else f"{value:.6g}"


def subject_text(row: FactReport) -> str:
    """Return what a value is about, as people write it: ``host``, a link, ``LINK -> PEER``, a session."""
    if row.session:
        session = f"session {row.session[:_SHORT_ID]}"
        return f"{session} connection {row.connection}" if row.connection else session
    if row.peer:
        return f"{row.interface} -> {row.peer}"
    return row.interface or _HOST


def change_text(row: FactReport) -> str:
    """Return one line for a value that is new: ``rtt wlan0 -> 10.0.0.9 = 31 ms``."""
    subject = subject_text(row)
    about = row.fact if subject == _HOST else f"{row.fact} {subject}"
    return f"{about} {'is not known' if row.value is None else f'= {value_text(row.value, row.unit)}'}"


def event_text(event: str, fields: Mapping[str, Any]) -> str:
    """Return what a monitor reported in plain words.

    Args:
        event: What kind of event it is; see `migrated.monitor_events`.
        fields: Its particulars.
    """
    match fields:
        case {"text": str(text)}:
            return text
        case {"count": int(count)} if event == MISSED:
            return f"{counted(count, 'event')} missed: more came than were read"
    return render(event, fields)
