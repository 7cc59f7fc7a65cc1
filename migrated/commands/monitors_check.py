"""`migrate monitors check`: run a plugin's monitors through the conformance checks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from msgspec import Struct

from migrated.commands.client import CannotReachError, PlainError, echo_json, json_option
from migrated.commands.wording import counted
from migrated.log import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from monitors.testing.child import Outcome, Request

TIME_LIMIT_S: Final = 60.0
RUN_S: Final = 1.0

_MARKS: Final = {"ok": "ok", "fault": "WRONG", "skipped": "-"}
_CHILD: Final = ("-P", "-m", "monitors.testing.child")  # -P: files of this folder are no modules of ours


class PluginResult(Struct, frozen=True):
    """What came of one plugin."""

    plugin: str
    outcomes: tuple[Outcome, ...]


class Ended(NamedTuple):
    """What a process wrote before it ended, and why it ended, if not by itself and well."""

    lines: Sequence[bytes]
    trouble: str


class UnknownTargetError(PlainError):
    """End the command with status 2: there is nothing to check."""

    exit_code = 2


def complete_target(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return installed plugins whose name begins so, or else have the shell complete paths."""
    from click.shell_completion import CompletionItem

    from migrated.commands.monitors_targets import installed_plugins

    names = [name for name in installed_plugins() if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


@click.command(name="check")
@click.argument("target", metavar="PATH|NAME|MODULE", shell_complete=complete_target)
@click.option(
    "--seconds",
    type=click.FloatRange(0.05, 3600),
    default=RUN_S,
    show_default=True,
    help="How long each run of a monitor lasts: long enough for its first report.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 86_400),
    default=TIME_LIMIT_S,
    show_default=True,
    metavar="SECONDS",
    help="After how long a plugin is given up.",
)
@json_option
@click.pass_context
def check(ctx: click.Context, target: str, seconds: float, timeout: float, *, as_json: bool) -> None:
    """Check that a plugin's monitors keep their contract.

    The plugin is a file, a folder of such files, the folder of a project with a `pyproject.toml`, or
    installed, by the name of its entry point or its module. Its monitors run for a while in a process of
    their own, on what this host has, with the settings of the daemon's configuration. What a test alone can
    try is not checked; the kit `monitors.testing` has it.

    The exit status is 0 if nothing is wrong, 1 if something is, 2 if there is nothing to check.

    \b
    Examples:
      migrate monitors check weather.py
      migrate monitors check /etc/migrate/monitors.d
      migrate monitors check --seconds 5 gps-zone
      migrate monitors check . --json | jq -r '.[].outcomes[] | select(.outcome == "fault").message'
    """  # noqa: D301
    from migrated.commands.monitors_targets import NoPluginError, requests_of

    try:
        requests = requests_of(target, _settings(), seconds)
    except NoPluginError as error:
        raise UnknownTargetError(str(error)) from error
    results = [_checked(request, timeout) for request in requests]
    if as_json:
        echo_json(results)
    else:
        click.echo("\n\n".join(map(_paragraph, results)))
    ctx.exit(int(any(_faults(result) for result in results)))


def _settings() -> dict[str, dict[str, object]]:
    """Return the monitors' tables of the daemon's configuration, without what switches them off.

    Raises:
        CannotReachError: the configuration has a mistake.
    """
    from migrated.config import ConfigurationError, file_of_this_host, load_configuration
    from monitors.settings import ENABLED

    try:
        tables = load_configuration(file_of_this_host()).monitors
    except ConfigurationError as error:
        raise CannotReachError(str(error)) from error
    return {
        name: {key: value for key, value in table.items() if key != ENABLED} for name, table in tables.items()
    }


def _checked(request: Request, limit_s: float) -> PluginResult:
    import msgspec

    from monitors.testing.child import Outcome

    ended = _run(msgspec.json.encode(request), limit_s)
    outcomes = [msgspec.json.decode(line, type=Outcome) for line in ended.lines]
    if ended.trouble:
        outcomes.append(_interrupted(outcomes, ended.trouble))
    return PluginResult(request.name, tuple(outcomes))


def _run(request: bytes, limit_s: float) -> Ended:
    """Have a process of its own make the checks, and end it and all that it began."""
    with subprocess.Popen(
        [sys.executable, *_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            written, _ = process.communicate(request, timeout=limit_s)
            trouble = _why_ended(process.returncode)
        except subprocess.TimeoutExpired:
            _kill(process)
            written, _ = process.communicate()
            trouble = f"it was not done within {limit_s:g} s and was ended; wait only with `await`"
    return Ended(written.splitlines(), trouble)


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def _why_ended(status: int) -> str:
    if status < 0:
        return f"its process was ended by {signal.Signals(-status).name}"
    return f"it ended its process with status {status}; a plugin never exits" if status else ""


def _interrupted(outcomes: Sequence[Outcome], trouble: str) -> Outcome:
    """Return what came of the check that was being made."""
    from monitors.testing import Check
    from monitors.testing.child import LOADING, Outcome

    last = outcomes[-1] if outcomes else None
    checks = [check.value for check in Check]
    if last is None or (not last.monitor and last.check != LOADING):
        return Outcome("", LOADING, "fault", trouble)
    following = checks[checks.index(last.check) + 1 :] if last.check in checks else checks
    return Outcome(last.monitor, following[0] if following else checks[0], "fault", trouble)


def _faults(result: PluginResult) -> int:
    return _count(result.outcomes, "fault")


def _count(outcomes: Iterable[Outcome], kind: str) -> int:
    return sum(outcome.outcome == kind for outcome in outcomes)


def _paragraph(result: PluginResult) -> str:
    """Return all that came of a plugin, a line each."""
    lines, monitor, said = [result.plugin], "", ""
    for outcome in result.outcomes:
        if outcome.monitor != monitor:
            monitor, said = outcome.monitor, ""
            lines.append(f"  monitor `{monitor}`")
        message = "likewise" if outcome.message and outcome.message == said else outcome.message
        said = outcome.message
        text = f"{outcome.check}: {message}" if message else outcome.check
        lines.append(f"    {_MARKS[outcome.outcome]:<6} {' '.join(text.split())}")
    faults, skipped = _faults(result), _count(result.outcomes, "skipped")
    verdict = f"{faults} wrong" if faults else "nothing is wrong"
    unchecked = f", {counted(skipped, 'check')} not made" if skipped else ""
    return "\n".join(map(printable, [*lines, f"  {verdict}{unchecked}"]))
