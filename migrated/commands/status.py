"""`migrate status`: how the daemon is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from migrated.commands.client import (
    ask,
    duration,
    echo_json,
    echo_table,
    json_option,
    socket_option,
)
from migrated.control.messages import PeerReport, Status, StatusReport
from migrated.control.observations import MonitorReport
from migrated.log import printable

_WORDS: Final = {"running": "run", "stopped": "do not run"}
_NAMED_AT_MOST: Final = 5


@click.command()
@socket_option
@json_option
def status(socket: Path | None, as_json: bool) -> None:
    """Say how the daemon is, which peers it has, and whether its monitors do well.

    The host key is what another host lists under `pinned_keys`. The exit status is 0 if
    the daemon answers, 1 if it refuses, 2 if it cannot be reached.

    DROPPED counts datagrams in a peer's name that were not authentic, or came again;
    MALFORMED those that were authentic and made no sense. `migrate monitors` tells of each monitor.

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
    click.echo(f"monitors     {_monitors_line(report.monitors)}")


def _peer_row(peer: PeerReport) -> tuple[str, ...]:
    state = f"{peer.state}, silent" if peer.silent else peer.state
    return (peer.name, peer.address, peer.fingerprint, state, str(peer.dropped), str(peer.malformed))


def _monitors_line(monitors: Sequence[MonitorReport]) -> str:
    """Return how many monitors do what, and which are in trouble."""
    well = Counter(_WORDS.get(monitor.state, monitor.state) for monitor in monitors if not monitor.troubled)
    parts = [f"{number} {word}" for word, number in well.most_common()]
    troubled = [printable(monitor.name) for monitor in monitors if monitor.troubled]
    if troubled:
        named = ", ".join(troubled[:_NAMED_AT_MOST]) + (", ..." if len(troubled) > _NAMED_AT_MOST else "")
        parts.append(f"{len(troubled)} failed: {named}; see `migrate monitors`")
    return ", ".join(parts) or "none"
