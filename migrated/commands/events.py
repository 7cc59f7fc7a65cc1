"""`migrate events`: what the monitors reported."""

from __future__ import annotations

from pathlib import Path

import click

from migrated.commands.client import (
    ask,
    complete_monitor,
    control_socket,
    exit_statuses,
    json_option,
    moment,
    socket_option,
)
from migrated.commands.measurements import event_text
from migrated.control.client import watch as follow_events
from migrated.control.messages import EventList, EventReport, encode
from migrated.control.observations import Events
from migrated.log import printable

_MONITOR_WIDTH = 10


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is reported from now on, until Ctrl-C.")
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="How many of the latest events to begin with; the daemon keeps 1,000.",
)
@click.option(
    "--monitor",
    "monitors",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_monitor,
    help="Only events of this monitor; may be given again.",
)
@socket_option
@json_option
def events(
    monitors: tuple[str, ...], socket: Path | None, *, follow: bool, count: int, as_json: bool
) -> None:
    """Print what the monitors reported last, and with `--follow` what they report from now on.

    An event says how a link, an address or a fact is after a change; `migrate watch` tells what the daemon
    made of it. What is measured of the sessions of others only root sees. With `--json` every line is one
    object. The exit status is 0, also after Ctrl-C, 1 for a monitor that there is not or if the daemon
    refuses, 2 if it cannot be reached or ends.

    \b
    Examples:
      migrate events
      migrate events --follow --monitor probe --monitor tcp
      migrate events -n 1000 --json | jq -r 'select(.event == "fact").fields.fact'
    """  # noqa: D301
    request = Events(count=count, monitors=monitors, follow=follow)
    if not follow:
        for event in ask(socket, request, EventList).events:
            click.echo(_line(event, as_json=as_json))
        return
    try:
        with exit_statuses():
            for event in follow_events(control_socket(socket), request):
                click.echo(_line(event, as_json=as_json))
    except KeyboardInterrupt:
        return


def _line(event: EventReport, *, as_json: bool) -> str | bytes:
    if as_json:
        return encode(event).rstrip()
    fields = dict(event.fields)
    monitor = str(fields.pop("monitor", ""))
    text = f"{monitor.ljust(_MONITOR_WIDTH)}  {event_text(event.event, fields)}"
    return f"{moment(event.time)}  {printable(text)}"
