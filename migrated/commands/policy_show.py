"""`migrate policy show`: the policy that the daemon has in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from migrated.commands.client import ask, echo_json, json_option, socket_option
from migrated.control.messages import PolicyReport, PolicyShow, PolicyText
from migrated.log import printable

_LAYERS = ("default", "system", "user", "application")


@click.command()
@click.option(
    "--layer",
    "layers",
    multiple=True,
    type=click.Choice(_LAYERS),
    help="Print this layer only; may be given again.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Print no files, but end with status 1 if those on disk have a mistake and are not in force.",
)
@socket_option
@json_option
@click.pass_context
def show(
    ctx: click.Context, socket: Path | None, layers: tuple[str, ...], *, check: bool, as_json: bool
) -> None:
    """Print the policy in force, file by file; later statements win over earlier ones.

    The first file is the policy that is shipped with the program; those of the host, of the user and of
    applications follow. If the files on disk have a mistake since, the policy before stays in force, and what
    is wrong is said on standard error. The exit status is 0 if the daemon answers, 1 if it refuses
    or `--check` finds that the files on disk are not in force, 2 if it cannot be reached.

    \b
    Examples:
      migrate policy show
      migrate policy show --layer system --layer user
      migrate policy show --json | jq -r '.files[].file'
      migrate policy show --check && echo in force
    """  # noqa: D301
    report = ask(socket, PolicyShow(), PolicyReport)
    files = [file for file in report.files if not layers or file.layer in layers]
    if as_json:
        import msgspec

        echo_json(msgspec.structs.replace(report, files=tuple(files)))
    else:
        _print(report, () if check else files)
    if check and report.last_error:
        ctx.exit(1)


def _print(report: PolicyReport, files: Sequence[PolicyText]) -> None:
    click.echo(f"# generation {report.generation}, loaded {_time(report.loaded_at)}")
    for file in files:
        included = f", included by {printable(file.included_by)}" if file.included_by else ""
        click.echo(f"\n# {printable(file.file)} ({printable(file.layer)}{included})\n{file.text.rstrip()}")
    if report.last_error:
        since = f", since {_time(report.last_error_at)}" if report.last_error_at is not None else ""
        click.echo(f"the files on disk are not in force{since}: {printable(report.last_error)}", err=True)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")
