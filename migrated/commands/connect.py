"""`migrate connect`: standard input and output as a connection that survives a change of network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def gateway_options(command: CommandT) -> CommandT:
    """Give a command the options that say which gateway to use, and how loud to be."""
    options = (
        click.option(
            "--gateway",
            envvar="MIGRATE_GATEWAY",
            metavar="HOST[:PORT],...",
            help="Where `migrate gateway` runs; by default on the destination's own host. Of several the "
            "first that answers, in the order of the policy's `score-server` (also: MIGRATE_GATEWAY).",
        ),
        click.option(
            "--pin", metavar="FINGERPRINT", help="The key that the gateway must have: `SHA256:...`."
        ),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
        click.option("-v", "--verbose", is_flag=True, help="Say how each of several gateways is judged."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("destination", nargs=-1, metavar="HOST:PORT | HOST PORT")
@gateway_options
@click.option("--print-key", is_flag=True, help="Print the line that lets this user in at a gateway.")
@click.pass_context
def connect(
    ctx: click.Context,
    destination: tuple[str, ...],
    gateway: str | None,
    pin: str | None,
    quiet: bool,
    verbose: bool,
    print_key: bool,
) -> None:
    """Connect standard input and output to HOST:PORT (or unix:/PATH), through a gateway.

    The connection lives on when the network goes, for days, and when this host's address changes.
    It ends with this process: nobody else can take it up again. The exit status is 0 if both sides
    ended it, 1 if it broke, 2 for wrong usage, 3 if no gateway answers, 4 if a key is not
    trusted, 5 if the destination is not allowed or does not answer, 6 if the session was lost.

    \b
    Examples:
      ssh -o ProxyCommand="migrate connect %h %p" example.org
      migrate connect --gateway example.org 10.0.0.7:5432
      migrate connect -v --gateway a.example.org,b.example.org 10.0.0.7:5432
      migrate connect --print-key
    """  # noqa: D301
    from migrated.streams.client import Gateway, key_line, speaker, user_key
    from migrated.streams.connect import connect_stdio
    from migrated.streams.ranking import ranked
    from migrated.streams.running import run
    from migrated.streams.usage import exit_statuses, read_pin, read_route

    with exit_statuses():
        if print_key:
            click.echo(key_line(user_key(speaker(quiet=quiet))))
            return
        if not destination:
            raise click.UsageError("where to? write `migrate connect HOST:PORT`", ctx)
        places, target = read_route(destination, gateway)
        fingerprint = read_pin(pin)
        best_first = ranked(places, [target], speaker(quiet=quiet), verbose=verbose)
        gateways = [Gateway(place=place, pin=fingerprint) for place in best_first]
        ctx.exit(run(connect_stdio(gateways, target, quiet=quiet)))
