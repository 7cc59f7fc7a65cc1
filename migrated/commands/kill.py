"""`migrate kill`: end a terminal that is held."""

from __future__ import annotations

import click

from migrated.commands.terminals import complete_terminal


@click.command()
@click.option("--server", metavar="PATH", default="", help="Where `migrate` is on HOST, if not on its path.")
@click.argument("name", shell_complete=complete_terminal)
@click.argument("host", required=False)
def kill(name: str, host: str | None, server: str) -> None:
    """End the terminal NAME of yours and what runs in it, on this host or, over ssh, on HOST.

    Programs get SIGHUP, and after five seconds SIGKILL. The exit status is 0 if it has ended, 1 if there is
    no such terminal, 2 if the process that holds terminals does not answer, 255 if ssh fails.

    \b
    Examples:
      migrate kill nightly
      migrate kill nightly build.example
    """  # noqa: D301
    if host is not None:
        from migrated.commands.ssh import kill_far
        from migrated.terminal.bootstrap import Far

        kill_far(Far(host=host, server=server), name)
        return
    from migrated.commands.client import CannotReachError, DeniedError
    from migrated.terminal.ask import ask
    from migrated.terminal.place import HolderError, Place, PlaceError
    from migrated.terminal.requests import Kill, Refused

    try:
        answer = ask(Place.usual(), Kill(name=name))
    except (HolderError, PlaceError) as error:
        raise CannotReachError(str(error)) from error
    if isinstance(answer, Refused):
        raise DeniedError(answer.reason)
