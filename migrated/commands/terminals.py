"""Terminals, for the commands that list them and those that take the name of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from migrated.commands.client import age, echo_table
from migrated.log import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from migrated.terminal.requests import TerminalReport

_COLUMNS = ("TERMINAL", "PROGRAM", "STATE", "SINCE")
_COMPLETION_TIMEOUT_S = 1.0


def echo_terminals(terminals: Sequence[TerminalReport]) -> None:
    """Print terminals as a table."""
    if not terminals:
        click.echo("no terminals")
        return
    echo_table(_COLUMNS, (_row(terminal) for terminal in terminals))


def complete_terminal(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the user's terminals on this host whose name begins so, as the shell's completion wants them.

    Other hosts are not asked: a login, and perhaps a password, is too much for a key press.
    """
    from click.shell_completion import CompletionItem

    from migrated.terminal.place import HolderError, PlaceError

    try:
        found = local_terminals(quick=True)
    except (HolderError, PlaceError):  # nobody could read it
        return []
    return [
        CompletionItem(terminal.name, help=printable(terminal.program))
        for terminal in found
        if terminal.name.startswith(incomplete)
    ]


def local_terminals(*, quick: bool = False) -> tuple[TerminalReport, ...]:
    """Return the user's terminals on this host.

    Args:
        quick: somebody waits for the answer with a finger on a key.

    Raises:
        HolderError: the process that holds them does not answer.
        PlaceError: the user has no home folder.
    """
    from migrated.terminal.place import Place

    place = Place.usual()
    if not place.socket.exists():
        return ()
    from migrated.terminal.ask import ANSWER_S, ask
    from migrated.terminal.requests import List, TerminalList

    answer = ask(place, List(), _COMPLETION_TIMEOUT_S if quick else ANSWER_S)
    return answer.terminals if isinstance(answer, TerminalList) else ()


def _row(terminal: TerminalReport) -> tuple[str, ...]:
    state = f"ended ({terminal.status})" if terminal.status is not None else terminal.state
    return terminal.name, f"{terminal.program} ({terminal.pid})", state, age(terminal.since)
