"""The table of terminals, for the commands that list them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from migrated.commands.client import age, echo_table

if TYPE_CHECKING:
    from migrated.terminal.requests import TerminalReport

_COLUMNS = ("TERMINAL", "PROGRAM", "STATE", "SINCE")


def echo_terminals(terminals: Sequence[TerminalReport]) -> None:
    """Print terminals as a table."""
    if not terminals:
        click.echo("no terminals")
        return
    echo_table(_COLUMNS, (_row(terminal) for terminal in terminals))


def local_terminals() -> tuple[TerminalReport, ...]:
    """Return the user's terminals on this host.

    Raises:
        HolderError: the process that holds them does not answer.
        PlaceError: the user has no home folder.
    """
    from migrated.terminal.place import Place

    place = Place.usual()
    if not place.socket.exists():
        return ()
    from migrated.terminal.ask import ask
    from migrated.terminal.requests import List, TerminalList

    answer = ask(place, List())
    return answer.terminals if isinstance(answer, TerminalList) else ()


def _row(terminal: TerminalReport) -> tuple[str, ...]:
    state = f"ended ({terminal.status})" if terminal.status is not None else terminal.state
    return terminal.name, f"{terminal.program} ({terminal.pid})", state, age(terminal.since)
