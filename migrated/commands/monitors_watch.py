"""`migrate monitors watch`: what is measured now, as a live table or change by change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec
from msgspec.structs import replace

from migrated.commands.client import (
    CannotReachError,
    control_socket,
    duration,
    exit_statuses,
    json_option,
    moment,
    socket_option,
)
from migrated.commands.facts import complete_fact, omission
from migrated.commands.measurements import change_text, subject_text, value_text
from migrated.control.client import conversation
from migrated.control.messages import Answer, Request
from migrated.control.observations import FactList, FactReport, Facts
from migrated.log import printable

if TYPE_CHECKING:
    from rich.console import Group

REFRESH_S: Final = 1.0
"""Seconds between two looks."""

_REST: Final = 20.0
"""How much longer than an answer takes the daemon is left in peace afterwards."""

_LONGEST_REST_S: Final = 10.0
"""Seconds of peace at most: it may have been this program that stood still, stopped or on a busy machine."""

_REST_STEP_S: Final = 0.5

_FRAME_LINES: Final = 3
"""Lines of the terminal that hold no row: the header, a note, and the one with the cursor."""

_Key = tuple[str, ...]


@click.command()
@click.argument("names", nargs=-1, metavar="[FACT]...", shell_complete=complete_fact)
@socket_option
@json_option
def watch(names: tuple[str, ...], socket: Path | None, as_json: bool) -> None:
    """Follow what is measured of the host, its links and your sessions, or only the facts named.

    On a terminal it is a table, made anew every second until Ctrl-C; elsewhere every value that is new is a
    line, and with `--json` an object, whose `value` is `null` when it is known no longer. What is measured of
    the sessions of others only root sees. The exit status is 0 after Ctrl-C, 1 for a fact that there is not
    or if the daemon refuses, 2 if it cannot be reached or ends.

    \b
    Examples:
      migrate monitors watch
      migrate monitors watch rtt loss
      migrate monitors watch --json wifi.signal | jq .value
    """  # noqa: D301
    show = _show_table if _can_draw() and not as_json else _tell_changes
    try:
        with exit_statuses(), conversation(control_socket(socket)) as talk:
            show(_readings(talk, names), as_json=as_json)
    except KeyboardInterrupt:
        return


def _can_draw() -> bool:
    """Return whether there is a terminal on which lines can be written over."""
    from rich.console import Console

    return sys.stdout.isatty() and not Console().is_dumb_terminal


def _readings(talk: Callable[[Request], Answer], names: tuple[str, ...]) -> Iterator[FactList]:
    while True:
        asked = time.monotonic()
        answer = talk(Facts(names=names))
        took = time.monotonic() - asked
        if not isinstance(answer, FactList):
            raise CannotReachError("the daemon's answer is about something else; is it of another version?")
        yield answer
        # A daemon that has much to tell stands still meanwhile, which must remain a small part of its time.
        _rest(max(REFRESH_S, min(_REST * took, _LONGEST_REST_S)))


def _rest(pause_s: float) -> None:
    """Sleep in short steps: Python hears of a ^C that comes just before a sleep only after it."""
    until = time.monotonic() + pause_s
    while (left_s := until - time.monotonic()) > 0:
        time.sleep(min(left_s, _REST_STEP_S))


def _tell_changes(readings: Iterator[FactList], *, as_json: bool) -> None:
    before: Mapping[_Key, FactReport] = {}
    noted = 0
    for reading in readings:
        after = {_key(row): row for row in reading.facts}
        for row in changes(before, after, whole=not reading.omitted):
            click.echo(_json_line(row) if as_json else _plain_line(row))
        if reading.omitted and not noted:
            click.echo(omission(reading.omitted), err=True)
        before, noted = after, reading.omitted


def changes(
    before: Mapping[_Key, FactReport], after: Mapping[_Key, FactReport], *, whole: bool
) -> Iterator[FactReport]:
    """Yield the values that are new, and with the value ``None`` those that are known no longer.

    Args:
        before: what was known, by fact and what it is about.
        after: what is known now, likewise.
        whole: whether that is all; otherwise what is missing may have found no place.
    """
    for key, row in after.items():
        if key not in before or before[key].value != row.value:
            yield row
    if whole:
        gone = (row for key, row in before.items() if key not in after)
        yield from (replace(row, value=None, measured_at=None, expires_at=None) for row in gone)


def _show_table(readings: Iterator[FactList], *, as_json: bool) -> None:
    del as_json  # a table is for people
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        for reading in readings:
            table = values_table(reading, console.height - _FRAME_LINES, time.time())
            live.update(table, refresh=True)


def values_table(reading: FactList, height: int, now: float) -> Group:
    """Return the table of as many values as fit, with a note on how many more there are.

    Args:
        reading: what the daemon says is measured.
        height: lines for values.
        now: seconds since the epoch.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = reading.facts[: max(height, 1)]
    hidden = len(reading.facts) - len(shown) + reading.omitted
    note = f"and {hidden} more; name facts to see those alone" if hidden else ""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("FACT", "OF", "VALUE", "AGE", "EXPIRES IN"):
        table.add_column(column, no_wrap=True)
    for row in shown:
        table.add_row(*(Text(printable(cell)) for cell in _cells(row, now)))
    return Group(table, note)


def _cells(row: FactReport, now: float) -> tuple[str, ...]:
    return (
        row.fact,
        subject_text(row),
        value_text(row.value, row.unit),
        "" if row.measured_at is None else duration(now - row.measured_at),
        "" if row.expires_at is None else duration(row.expires_at - now),
    )


def _plain_line(row: FactReport) -> str:
    return f"{moment(time.time())}  {printable(change_text(row))}"


def _json_line(row: FactReport) -> bytes:
    return msgspec.json.encode({"time": time.time(), **msgspec.to_builtins(row)})


def _key(row: FactReport) -> _Key:
    return (row.fact, row.interface, row.peer, row.session, row.connection)
