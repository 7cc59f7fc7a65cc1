"""`migrate status`: how the daemon is."""

from __future__ import annotations

from pathlib import Path

import click

from migrated.commands.client import (
    ask,
    duration,
    echo_json,
    echo_table,
    json_option,
    socket_option,
)
from migrated.control.messages import MonitorReport, PeerReport, Status, StatusReport
from migrated.log import printable


@click.command()
@socket_option
@json_option
def status(socket: Path | None, as_json: bool) -> None:
    """Say how the daemon is, which peers it has, and how its monitors do.

    The host key is what another host lists under `pinned_keys`. The exit status is 0 if
    the daemon answers, 1 if it refuses, 2 if it cannot be reached.

    DROPPED counts datagrams in a peer's name that were not authentic, or came again;
    MALFORMED those that were authentic and made no sense.

    \b
    Examples:
      migrate status
      migrate status --json | jq .peers
    """  # noqa: D301
    report = ask(socket, Status(), StatusReport)
    if as_json:
        echo_json(report)
        return
    _echo_daemon(report)
    if report.peers:
        click.echo()
        echo_table(
            ("PEER", "ADDRESS", "FINGERPRINT", "STATE", "DROPPED", "MALFORMED"), map(_peer_row, report.peers)
        )
    click.echo()
    echo_table(("MONITOR", "STATE", "EVENTS", "FAILURES", "LAST ERROR"), map(_monitor_row, report.monitors))


def _echo_daemon(report: StatusReport) -> None:
    click.echo(f"migrated {report.version}, process {report.pid}, up for {duration(report.uptime_s)}")
    if report.no_kernel:
        click.echo(printable(report.no_kernel))
    else:
        click.echo(f"port         {report.control_port} (TCP and UDP)")
    click.echo(f"host key     {report.host_key}")
    click.echo(f"fingerprint  {report.fingerprint}")
    click.echo(f"sessions     {report.sessions}")
    click.echo(f"policy       generation {report.policy_generation}")
    if report.last_error:
        click.echo(f"  the files on disk are not in force: {printable(report.last_error)}")


def _peer_row(peer: PeerReport) -> tuple[str, ...]:
    state = f"{peer.state}, silent" if peer.silent else peer.state
    return (peer.name, peer.address, peer.fingerprint, state, str(peer.dropped), str(peer.malformed))


def _monitor_row(monitor: MonitorReport) -> tuple[str, ...]:
    return (monitor.name, monitor.state, str(monitor.events), str(monitor.failures), monitor.last_error)
