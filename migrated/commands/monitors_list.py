"""`migrate monitors list`: what each monitor does, what it costs and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from migrated.commands.client import (
    age,
    ask,
    complete_monitor,
    duration,
    echo_json,
    echo_table,
    json_option,
    socket_option,
)
from migrated.commands.measurements import value_text
from migrated.commands.wording import counted
from migrated.control.observations import MonitorList, MonitorReport, Monitors
from migrated.log import printable

_COLUMNS = ("MONITOR", "KIND", "STATE", "FACTS", "EVENTS", "LAST EVENT", "ERRORS", "COST")
_NOTHING = "-"


@click.command(name="list")
@click.argument("names", nargs=-1, metavar="[MONITOR]...", shell_complete=complete_monitor)
@click.option(
    "-v", "--verbose", is_flag=True, help="Tell all of each, with where it comes from and its last error."
)
@socket_option
@json_option
@click.pass_context
def list_monitors(
    ctx: click.Context, names: tuple[str, ...], socket: Path | None, *, verbose: bool, as_json: bool
) -> None:
    """List the monitors, or only those named, and how they do.

    A plugin that could not be loaded is listed, too. ERRORS counts how often a monitor failed, and COST is
    its processor time, per minute of the daemon's life. What this host lacks is `not available`, which is no
    error; it is looked for again every minute.

    The exit status is 0 if all of them do well, 1 if one has failed, has been given up, blocks or could not
    be loaded, or if the daemon refuses, and 2 for a name that no monitor has or if the daemon can't be
    reached.

    \b
    Examples:
      migrate monitors
      migrate monitors list -v wifi power
      migrate monitors --json | jq -r '.monitors[] | select(.troubled).name'
    """  # noqa: D301
    report = ask(socket, Monitors(), MonitorList)
    chosen = _named(names, report.monitors)
    if as_json:
        echo_json(replace(report, monitors=tuple(chosen)))
    else:
        if verbose:
            click.echo("\n\n".join(_paragraph(monitor, report.uptime_s) for monitor in chosen))
        else:
            echo_table(_COLUMNS, (_row(monitor, report.uptime_s) for monitor in chosen))
        _echo_losses(report)
    ctx.exit(int(any(monitor.troubled for monitor in chosen)))


def _named(names: Sequence[str], monitors: Sequence[MonitorReport]) -> Sequence[MonitorReport]:
    """Return the monitors of these names, or all if there are none.

    Raises:
        click.BadParameter: One is no monitor's.
    """
    known = {monitor.name for monitor in monitors}
    for name in names:
        if name not in known:
            from policylang.diagnostics import did_you_mean, quote

            hint = did_you_mean(name, known) or "`migrate monitors` lists those that there are"
            raise click.BadParameter(f"there is no monitor {quote(name)}; {hint}", param_hint="'MONITOR'")
    return [monitor for monitor in monitors if not names or monitor.name in names]


def _row(monitor: MonitorReport, uptime_s: float) -> tuple[str, ...]:
    return (
        monitor.name,
        monitor.kind,
        _state(monitor),
        str(len(monitor.facts)),
        str(monitor.events),
        _ago(monitor.last_event_at, monitor.last_event),
        str(monitor.failures),
        _cost(monitor, uptime_s),
    )


def _paragraph(monitor: MonitorReport, uptime_s: float) -> str:
    """Return all that is known of a monitor, a line each."""
    origin = f", {monitor.origin}" if monitor.origin else ""
    lasting = f" for {duration(monitor.running_s)}" if monitor.running_s else ""
    restarts = f", {counted(monitor.restarts, 'restart')}" if monitor.restarts else ""
    rows = {
        "state": _state(monitor, lasting),
        "measures": ", ".join(monitor.facts) or _NOTHING,
        "events": str(monitor.events),
        "last event": _ago(monitor.last_event_at, monitor.last_event),
        "errors": f"{monitor.failures}{restarts}",
        "last error": _ago(monitor.last_error_at, monitor.last_error),
        "cost": f"{_cost(monitor, uptime_s)}, longest step {value_text(monitor.longest_step_s, 's')}",
    }
    lines = [
        f"{monitor.name} ({monitor.kind}{origin})",
        *(f"  {key:<12}{text}" for key, text in rows.items()),
    ]
    return "\n".join(map(printable, lines))


def _state(monitor: MonitorReport, lasting: str = "") -> str:
    state = f"{monitor.state}{lasting}"
    return f"{state}: {monitor.detail}" if monitor.detail else state


def _cost(monitor: MonitorReport, uptime_s: float) -> str:
    """Return the processor time per minute of the daemon's life."""
    return f"{value_text(60 * monitor.cost_s / max(uptime_s, 1.0), 's')}/min"


def _ago(at: float | None, what: str) -> str:
    if at is None:
        return what or _NOTHING
    return f"{age(at)} ago: {what}" if what else f"{age(at)} ago"


def _echo_losses(report: MonitorList) -> None:
    """Say so where events did not come through one by one: what they said last is known nonetheless."""
    if report.merged:
        click.echo(f"{report.merged} events gave way to later ones about the same, for want of room")
    if report.refused:
        click.echo(f"{report.refused} events found no room and had to be reported again")
