"""`migrate move`: move a session by hand."""

from __future__ import annotations

from pathlib import Path

import click

from migrated.commands.client import ask, complete_link, complete_session, socket_option
from migrated.control.messages import Done, Move
from migrated.log import printable


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.argument("link", shell_complete=complete_link)
@socket_option
def move(session: str, link: str, socket: Path | None) -> None:
    """Move SESSION to LINK, whatever the policy prefers.

    SESSION is an id from `migrate sessions` or the beginning of one, LINK a name from
    `migrate links`. You may move the sessions of your own programs; root may move all. The
    exit status is 0 if the move begins (`migrate watch` shows how it ends), 1 if the daemon
    refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate move 3fa9c1 eth1
    """  # noqa: D301
    click.echo(printable(ask(socket, Move(session=session, link=link), Done).message))
