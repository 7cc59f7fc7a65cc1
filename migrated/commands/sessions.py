"""`migrate sessions`: the table of sessions, and that of terminals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrated.commands.client import (
    age,
    ask,
    control_socket,
    echo_json,
    echo_table,
    json_option,
    short_ids,
    socket_option,
)
from migrated.commands.terminals import echo_terminals, local_terminals
from migrated.control.messages import SessionList, SessionReport, Sessions

if TYPE_CHECKING:
    from migrated.terminal.requests import TerminalReport

_COLUMNS = ("ID", "PEER", "PROGRAM", "LINK", "STATE", "SINCE", "MOVES")


@click.command()
@socket_option
@json_option
def sessions(socket: Path | None, as_json: bool) -> None:
    """List the sessions: those of your own programs, or all if you are root; and your terminals.

    The id is as short as tells the sessions apart; `migrate move` takes it. SINCE says for
    how long a session has been in its state and on its link. Terminals are what `migrate ssh` opened on
    this host; they need no daemon. The exit status is 0 if the daemon answers or there are terminals,
    1 if it refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate sessions
      migrate sessions --json | jq -r '.[].id'
    """  # noqa: D301
    terminals = _terminals()
    found = _sessions(socket, needed=not terminals)
    if as_json:
        echo_json([*found, *terminals])
        return
    if not found and not terminals:
        click.echo("no sessions")
    if found:
        short = short_ids([session.id for session in found])
        echo_table(_COLUMNS, (_row(session, short[session.id]) for session in found))
    if terminals:
        if found:
            click.echo()
        echo_terminals(terminals)


def _terminals() -> tuple[TerminalReport, ...]:
    from migrated.terminal.place import HolderError, PlaceError

    try:
        return local_terminals()
    except (HolderError, PlaceError) as error:
        click.echo(f"Warning: {error}", err=True)
        return ()


def _sessions(socket: Path | None, *, needed: bool) -> tuple[SessionReport, ...]:
    """Ask the daemon; where there are terminals it need not run."""
    if not needed and not control_socket(socket).exists():
        return ()
    return ask(socket, Sessions(), SessionList).sessions


def _row(session: SessionReport, short: str) -> tuple[str, ...]:
    return (
        short,
        session.peer,
        f"{session.program} ({session.pid})",
        session.link,
        session.state,
        age(session.since),
        str(session.moves),
    )
