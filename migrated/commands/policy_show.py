"""`migrate policy show`: the policy that the daemon has in force."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from migrated.commands.client import ask, echo_json, json_option, socket_option
from migrated.control.messages import PolicyReport, PolicyShow
from migrated.log import printable


@click.command()
@socket_option
@json_option
def show(socket: Path | None, as_json: bool) -> None:
    """Print the policy in force, file by file; later statements win over earlier ones.

    The first file is the policy that is shipped with the program. If the files on disk have
    a mistake since, the policy before stays in force, and what is wrong is said on standard
    error. The exit status is 0 if the daemon answers, 1 if it refuses, 2 if it cannot be reached.

    \b
    Examples:
      migrate policy show
      migrate policy show --json | jq -r '.files[].file'
    """  # noqa: D301
    report = ask(socket, PolicyShow(), PolicyReport)
    if as_json:
        echo_json(report)
        return
    loaded = datetime.fromtimestamp(report.loaded_at).astimezone().isoformat(sep=" ", timespec="seconds")
    click.echo(f"# generation {report.generation}, loaded {loaded}")
    for file in report.files:
        click.echo(f"\n# {printable(file.file)}\n{file.text.rstrip()}")
    if report.last_error:
        click.echo(f"the files on disk are not in force: {printable(report.last_error)}", err=True)
