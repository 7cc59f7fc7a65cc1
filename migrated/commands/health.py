"""`migrate health`: say how a session is, for a program that does not do so itself."""

from __future__ import annotations

from pathlib import Path

import click

from migrated.commands.client import ask, complete_session, socket_option
from migrated.control.messages import Done, KeepAlive
from migrated.log import printable


@click.command()
@click.option("--reason", metavar="TEXT", default="", help="What is wrong, for people; 200 characters count.")
@click.argument("session", shell_complete=complete_session)
@click.argument("state", type=click.Choice(["well", "unwell"]))
@socket_option
def health(session: str, state: str, reason: str, socket: Path | None) -> None:
    """Say that SESSION is well, or unwell, as far as its program can tell.

    Policies have the last word that was said as `healthy`, and the time since the last `well` as
    `keepalive-age`. Programs that use the library say it themselves; this is for scripts. SESSION is
    an id from `migrate sessions` or the beginning of one; you may speak for the sessions of your own
    programs, and root for all. The exit status is 0 if the daemon has heard it, 1 if it refuses, 2 if it
    cannot be reached.

    \b
    Examples:
      migrate health 3fa9c1 well
      migrate health 3fa9c1 unwell --reason "no picture for 3 s"
      while probe-my-service; do migrate health 3fa9c1 well; sleep 1; done
    """  # noqa: D301
    message = KeepAlive(session=session, healthy=state == "well", reason=reason)
    click.echo(printable(ask(socket, message, Done).message))
