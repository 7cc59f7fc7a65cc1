"""`migrate terminal`: what `migrate ssh` runs on the other host."""

from __future__ import annotations

import click


@click.group(hidden=True)
def terminal() -> None:
    """Do on this host what `migrate ssh` asks for; not for people."""


@terminal.command()
def serve() -> None:
    """Read one request from standard input, have it done, print the answer."""
    from migrated.terminal.relay import RelayError
    from migrated.terminal.serve import serve as answer

    try:
        answer()
    except RelayError as error:
        raise click.ClickException(str(error)) from error


@terminal.command()
@click.argument("port", type=click.IntRange(1, 65535))
def relay(port: int) -> None:
    """Join standard input and output to the holder of terminals at PORT of this host."""
    from migrated.terminal.relay import RelayError
    from migrated.terminal.relay import relay as join

    try:
        join(port)
    except RelayError as error:
        raise click.ClickException(str(error)) from error
