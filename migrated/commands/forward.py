"""`migrate forward`: local ports whose connections survive a change of network."""

from __future__ import annotations

import click

from migrated.commands.connect import gateway_options


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="LOCAL REMOTE | LOCAL=REMOTE ...")
@gateway_options
@click.pass_context
def forward(
    ctx: click.Context,
    places: tuple[str, ...],
    gateway: str | None,
    pin: str | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Listen at LOCAL and carry every connection to REMOTE, through a gateway.

    LOCAL is PORT (of the loopback), ADDR:PORT or the path of a Unix socket that only you may use;
    REMOTE is HOST:PORT or unix:/PATH as the gateway sees it. Connections live on when the network
    goes, and new ones are accepted meanwhile. They end with this process. The exit status is 0 after
    SIGTERM, 1 if LOCAL can't be had, 2 for wrong usage, 3 if no gateway answers, 4 if a key
    is not trusted.

    \b
    Examples:
      migrate forward 8080 example.org:80
      migrate forward --gateway example.org 5432 10.0.0.7:5432
      migrate forward --gateway a.example.org,b.example.org 5432 10.0.0.7:5432
      migrate forward --gateway example.org /run/user/1000/db.sock=unix:/run/db.sock 8080=10.0.0.7:80
    """  # noqa: D301
    from migrated.streams.client import Gateway, speaker
    from migrated.streams.forward import Forwarding
    from migrated.streams.forward import forward as run_forward
    from migrated.streams.ranking import ranked
    from migrated.streams.running import run
    from migrated.streams.usage import exit_statuses, read_forwardings, read_pin

    with exit_statuses():
        candidates, pairs = read_forwardings(places, gateway)
        fingerprint = read_pin(pin)
        remotes = list(dict.fromkeys(remote for _, remote in pairs))
        best_first = ranked(candidates, remotes, speaker(quiet=quiet), verbose=verbose)
        gateways = [Gateway(place=place, pin=fingerprint) for place in best_first]
        forwardings = [Forwarding(local=local, remote=remote) for local, remote in pairs]
        ctx.exit(run(run_forward(gateways, forwardings, quiet=quiet)))
