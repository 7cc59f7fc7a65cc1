"""`migrate sessions`: the table of sessions."""

from __future__ import annotations

from pathlib import Path

import click

from migrated.commands.client import (
    age,
    ask,
    echo_json,
    echo_table,
    json_option,
    short_ids,
    socket_option,
)
from migrated.control.messages import SessionList, SessionReport, Sessions

_COLUMNS = ("ID", "PEER", "PROGRAM", "LINK", "STATE", "SINCE", "MOVES")


@click.command()
@socket_option
@json_option
def sessions(socket: Path | None, as_json: bool) -> None:
    """List the sessions: those of your own programs, or all if you are root.

    The id is as short as tells the sessions apart; `migrate move` takes it. SINCE says for
    how long a session has been in its state and on its link. The exit status is 0 if the
    daemon answers, 1 if it refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate sessions
      migrate sessions --json | jq -r '.[].id'
    """  # noqa: D301
    found = ask(socket, Sessions(), SessionList).sessions
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("no sessions")
        return
    short = short_ids([session.id for session in found])
    echo_table(_COLUMNS, (_row(session, short[session.id]) for session in found))


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
