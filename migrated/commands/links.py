"""`migrate links`: the attachment points, their scores and why."""

from __future__ import annotations

from pathlib import Path

import click

from migrated.commands.client import ask, echo_json, echo_table, json_option, socket_option
from migrated.control.messages import LinkList, LinkReport, Links


@click.command()
@socket_option
@json_option
def links(socket: Path | None, as_json: bool) -> None:
    """List the links with their addresses and scores, best first.

    The score is that of a session of which no `on` of the policy speaks, `never` if a statement
    rules the link out, and BY names the statements that made it. The exit status is 0 if the
    daemon answers, 1 if it refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate links
      migrate links --json | jq '.[] | select(.usable)'
    """  # noqa: D301
    found = ask(socket, Links(), LinkList).links
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("no links")
        return
    echo_table(("LINK", "ADDRESS", "SCORE", "USABLE", "BY"), map(_row, sorted(found, key=_rank)))


def _rank(link: LinkReport) -> tuple[object, ...]:
    return (not link.usable, link.ruled_out, -link.score, link.name, link.address)


def _row(link: LinkReport) -> tuple[str, ...]:
    usable = "yes" if link.usable else f"no: {link.why}"
    score = "never" if link.ruled_out else str(link.score)
    return (link.name, link.address, score, usable, link.statement)
