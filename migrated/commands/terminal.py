"""`migrate terminal`: what `migrate ssh` runs on the other host."""

from __future__ import annotations

import click


@click.group(hidden=True)
def terminal() -> None:
    """Do on this host what `migrate ssh` asks for; not for people."""


@terminal.command()
def serve() -> None:
    """Read one request from standard input, have it done, print the answer."""
    from migrated.terminal.serve import serve as answer

    answer()
