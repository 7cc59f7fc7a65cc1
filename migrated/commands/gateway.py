"""`migrate gateway`: let clients reach destinations over connections that outlive their networks."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from migrated.streams.addresses import GATEWAY_PORT, read_listening
from migrated.streams.usage import exit_statuses

_DAYS = 7


@click.command()
@click.option(
    "--listen",
    default=str(GATEWAY_PORT),
    show_default=True,
    metavar="[ADDR:]PORT",
    help="Where to listen; without an address, on all.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="PATTERN",
    help="A destination for keys whose line names none: `localhost:22`, `10.0.0.0/8:5432`, `*:443`, "
    "`unix:/PATH`. Can be given several times.",
)
@click.option(
    "--authorized-keys",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The keys that are let in.  [default: ~/.config/migrate/authorized_keys]",
)
@click.option(
    "--expire",
    default=f"{_DAYS}d",
    show_default=True,
    metavar="DURATION",
    help="How long a client may be away, such as `12h`.",
)
@click.option("--json", "as_json", is_flag=True, help="Log one JSON object a line.")
@click.option("--print-key", is_flag=True, help="Print this gateway's fingerprint and end.")
@click.pass_context
def gateway(
    ctx: click.Context,
    listen: str,
    allow: tuple[str, ...],
    authorized_keys: Path | None,
    expire: str,
    as_json: bool,
    print_key: bool,
) -> None:
    """Let clients reach destinations from here, over connections that survive a change of network.

    Needs no rights and no daemon. A client (`migrate connect`, `migrate forward`) is let in if its
    key is in the file of authorized keys, and gets only to destinations that its line there or
    `--allow` lists. Names are resolved here, and the address they lead to is what is checked.
    The exit status is 0 after SIGTERM, 1 if the port can't be had, 2 for wrong usage.

    \b
    Examples:
      migrate gateway --allow localhost:22
      migrate gateway --listen 192.0.2.1:6448 --allow '10.0.0.0/8:5432' --allow '*:443'
      migrate gateway --print-key
    """  # noqa: D301
    from migrated.log import configure
    from migrated.streams.admission import Admission
    from migrated.streams.folders import AUTHORIZED_KEYS, GATEWAY_KEY, config_file, own_key
    from migrated.streams.gateway import serve
    from migrated.streams.rules import read_rule
    from migrated.streams.running import run
    from sessionlayer.aio import StreamOptions
    from sessionlayer.protocol.keys import fingerprint

    with exit_statuses():
        key, _ = own_key(GATEWAY_KEY)
        if print_key:
            click.echo(fingerprint(key.public_bytes))
            return
        place = read_listening(listen)
        options = StreamOptions(expire_s=_seconds(expire))
        admission = Admission(authorized_keys or config_file(AUTHORIZED_KEYS), tuple(map(read_rule, allow)))
        if admission.leads_nowhere:
            raise click.UsageError("no key may go anywhere; name destinations with `--allow PATTERN`", ctx)
        configure(logging.INFO, "json" if as_json else "text")
        ctx.exit(run(serve(place, key, admission, options)))


def _seconds(text: str) -> float:
    from policylang.values import BadValueError, duration_s

    try:
        seconds = duration_s(text)
    except BadValueError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise click.BadParameter(f"{error.message}{hint}", param_hint="'--expire'") from error
    if seconds <= 0:
        raise click.BadParameter(f"`{text}` is no time at all", param_hint="'--expire'")
    return seconds
