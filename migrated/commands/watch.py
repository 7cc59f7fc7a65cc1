"""`migrate watch`: follow what happens."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from migrated.commands.client import control_socket, exit_statuses, json_option, socket_option
from migrated.control.client import watch as follow
from migrated.control.messages import EventReport, encode
from migrated.log import render


@click.command()
@socket_option
@json_option
def watch(socket: Path | None, as_json: bool) -> None:
    """Print every event of the daemon as it happens, until Ctrl-C.

    You see what happens to links, peers and your own sessions; root sees all sessions. With
    `--json` every line is one object. The exit status is 0 after Ctrl-C, 1 if the daemon
    refuses, 2 if it cannot be reached or ends.

    \b
    Examples:
      migrate watch
      migrate watch --json | jq -r 'select(.event == "moved") | .fields.to'
    """  # noqa: D301
    try:
        with exit_statuses():
            for event in follow(control_socket(socket)):
                click.echo(encode(event).rstrip() if as_json else _line(event))
    except KeyboardInterrupt:
        return


def _line(event: EventReport) -> str:
    moment = datetime.fromtimestamp(event.time).astimezone().strftime("%H:%M:%S")
    return f"{moment}  {render(event.event, event.fields)}"
