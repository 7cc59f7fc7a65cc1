"""`migrate policy explain`: how the links stand for a described session, and who wins by which line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engine import Connection, Explanation, PointExplanation
    from monitors.events import Event
    from policylang.ast import Policy

_SESSION = re.compile(r"\s*(?P<proto>\w+)\s+(?P<local>\S+)\s*->\s*(?P<remote>\S+)\s*")
_SESSION_EXAMPLE = "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
_PROTOCOLS = ("tcp", "udp")


@click.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False, path_type=Path)
)
@click.option(
    "--session",
    required=True,
    metavar="TEXT",
    help=f'The session: "{_SESSION_EXAMPLE}"; IPv6 as [addr]:port.',
)
@click.option(
    "--link",
    "links",
    multiple=True,
    metavar="NAME=ADDRESS",
    help="A link that is up, by name or label; may be given again.  [default: the links of this host]",
)
@click.option("--user", help="The user whose program it is.")
@click.option("--app", help="The program, by name or path.")
@click.option(
    "--role",
    type=click.Choice(["client", "server"]),
    default="client",
    show_default=True,
    help="Which end this host is; the client opened the connection.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def explain(
    ctx: click.Context,
    files: tuple[Path, ...],
    session: str,
    links: tuple[str, ...],
    user: str | None,
    app: str | None,
    role: str,
    as_json: bool,
) -> None:
    """Say which link a session would use, and by which lines of the policy.

    The link in use is the one that has the session's local address. The policy that is
    shipped with the program is read first, as the daemon does. The exit status is 0 if
    there is an answer, 1 if the policy has errors, 2 if something could not be read.

    \b
    Examples:
      migrate policy explain my.policy --session "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
      migrate policy explain examples/figure10.policy \\
        --session "tcp 10.0.0.5:40000 -> 18.31.0.9:22" \\
        --link eth0=10.0.0.5 --link ppp0=10.2.0.5
    """  # noqa: D301
    connection = _connection(session, user, app, role)
    events = _links(links)
    policy = _policy(ctx, files)
    explanation = _explain(policy, connection, events)
    click.echo(_as_json(explanation) if as_json else _as_text(session, role, explanation))


def _connection(text: str, user: str | None, app: str | None, role: str) -> Connection:
    """Read ``PROTO LOCAL:PORT -> REMOTE:PORT``."""
    from engine import Connection

    match = _SESSION.fullmatch(text)
    if match is None:
        raise _bad_session(text, f"expected the form `{_SESSION_EXAMPLE}`")
    proto = match["proto"].lower()
    if proto not in _PROTOCOLS:
        raise _bad_session(text, f"unknown protocol `{match['proto']}`; expected `tcp` or `udp`")
    local, remote = _endpoint(text, match["local"]), _endpoint(text, match["remote"])
    return Connection(
        proto=proto,
        local_address=local[0],
        local_port=local[1],
        remote_address=remote[0],
        remote_port=remote[1],
        user=user,
        app=app,
        role=role,
    )


def _endpoint(session: str, text: str) -> tuple[str, int]:
    """Read ``ADDRESS:PORT``, an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        raise _bad_session(session, f"`{text}` is not ADDRESS:PORT; an IPv6 address stands in brackets")
    address = host[1:-1] if bracketed else host
    try:
        canonical = str(ip_address(address))
    except ValueError:
        raise _bad_session(session, f"`{address}` is not an address") from None
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise _bad_session(session, f"`{port}` is not a port; expected a number from 0 to 65535")
    return canonical, int(port)


def _bad_session(text: str, what: str) -> click.BadParameter:
    return click.BadParameter(f"in `{text}`: {what}", param_hint="'--session'")


def _links(given: tuple[str, ...]) -> Sequence[Event]:
    """Return the links given, else those of this host, and then say on standard error which they are."""
    from migrated.commands.link_events import described, given_links, host_links

    if given:
        return given_links(given)
    events = host_links()
    click.echo(f"no `--link` given; the links of this host: {described(events)}", err=True)
    return events


def _policy(ctx: click.Context, files: tuple[Path, ...]) -> Policy:
    """Load the policy; if it has errors, print them and end with the status that says so."""
    from policylang import UNREADABLE, load_policy, render_text

    result = load_policy(files, with_defaults=True)
    for diagnostic in result.diagnostics:
        click.echo(render_text(diagnostic), err=True)
    if result.policy is None:
        unreadable = any(diagnostic.code == UNREADABLE for diagnostic in result.diagnostics)
        ctx.exit(2 if unreadable else 1)
    return result.policy


def _explain(policy: Policy, connection: Connection, events: Sequence[Event]) -> Explanation:
    """Ask an engine in whose world exactly these links are up."""
    from engine import Engine, SessionDescription

    engine = Engine(policy)
    for event in events:
        engine.handle(event, 0.0)
    return engine.explain(SessionDescription(id="described", connections=(connection,)), 0.0)


def _as_json(explanation: Explanation) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(explanation), indent=2).decode()


def _as_text(session: str, role: str, explanation: Explanation) -> str:
    """Lay out the table of links, the winner, and the argument."""
    rows = [("", "link", "address", "score", "by")]
    rows += [_row(point) for point in sorted(explanation.links, key=lambda p: (not p.eligible, -p.score))]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4])).rstrip()
        for row in rows
    ]
    argument = [f"  - {reason}" for reason in explanation.reasons]
    return "\n".join([f"{session} ({role})", "", *table, "", _winner(explanation), *argument])


def _row(point: PointExplanation) -> tuple[str, str, str, str, str]:
    """Return mark, name, address, score and its statements; `*` marks the link in use."""
    score = str(point.score) if point.eligible else "-"
    places = ", ".join(str(reason.span) for reason in point.reasons if reason.span)
    by = (places or "no statement") if point.eligible else f"not eligible: {point.why_not}"
    if places and not point.eligible:
        by += f" ({places})"
    return ("*" if point.current else "", point.name, point.address, score, by)


def _winner(explanation: Explanation) -> str:
    winner = explanation.winner
    if winner is None:
        return "the session waits: no link is eligible, because"
    stays = winner.key == explanation.current
    when = "" if explanation.due is None else f" in {explanation.due:g} s"
    verb = "stays on" if stays else f"moves{when} to"
    return f"the session {verb} {winner.name} ({winner.address}), because"
