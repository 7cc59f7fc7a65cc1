"""`migrate forget-peer`: forget a host key that was trusted on first use."""

from __future__ import annotations

from pathlib import Path

import click

from migrated.commands.client import ask, socket_option
from migrated.control.messages import Done, ForgetPeer
from migrated.log import printable


@click.command(name="forget-peer")
@click.argument("address")
@socket_option
def forget_peer(address: str, socket: Path | None) -> None:
    """Forget the host key that was trusted on first use for ADDRESS.

    The next association with ADDRESS trusts the key that it then shows, so be sure that the host was
    installed anew. Only root and the daemon's own user may do this. The exit status is 0 if the key is
    forgotten, 1 if the daemon refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate forget-peer 18.31.0.9
    """  # noqa: D301
    click.echo(printable(ask(socket, ForgetPeer(address=address), Done).message))
