"""`migrate policy replay`: a recorded log through a policy."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from migrated.commands.client import PlainError
from migrated.commands.policy_named import complete_named, named_files
from migrated.commands.progress import progress
from migrated.log import printable

if TYPE_CHECKING:
    from migrated.authoring.logs import BadLine
    from migrated.authoring.pairing import Replayed
    from migrated.recording.entries import Entry
    from policylang.ast import Policy

_LONG_LOG_BYTES: Final = 8 * 1024 * 1024
_BAD_LINES_SHOWN: Final = 5

_MEANING: Final = {
    "=": "decided then and now",
    "+": "only now",
    "-": "only then",
}


class _CannotReplayError(PlainError):
    """End the command with status 2."""

    exit_code = 2


def _moment(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Return a date and time, or how long ago something was, in seconds since the epoch.

    Raises:
        click.BadParameter: it is neither.
    """
    from policylang.values import BadValueError, duration_s

    if text is None:
        return None
    try:
        return time.time() - duration_s(text)
    except BadValueError:
        pass  # then it is a date
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        what = f"`{text}` is neither a time such as `2026-11-22T12:00` nor a duration such as `2h`"
        raise click.BadParameter(what, ctx, param) from None


@click.command()
@click.argument("logs", nargs=-1, metavar="[LOG]...", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--policy",
    "files",
    multiple=True,
    metavar="FILE",
    shell_complete=complete_named,
    help="Decide by this policy, after the shipped defaults: a file, a folder, a configuration (`*.toml`),"
    " which names files of each layer, or the word `installed`; may be given again.  [default: as recorded]",
)
@click.option(
    "--since", callback=_moment, metavar="TIME", help="Print nothing from before: a time, or how long ago."
)
@click.option("--until", callback=_moment, metavar="TIME", help="End there.")
@click.option("--session", default="", metavar="ID", help="Print one session, by the beginning of its id.")
@click.option("--changes", is_flag=True, help="Print only what was not decided both then and now.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
@click.pass_context
def replay(
    ctx: click.Context,
    logs: tuple[Path, ...],
    files: tuple[str, ...],
    since: float | None,
    until: float | None,
    session: str,
    changes: bool,
    as_json: bool,
) -> None:
    """Say what a policy would have decided when, from the daemon's event log.

    Each decision is marked: `=` was given then and is given now, `+` only now, `-` only then.
    The parts of a rotated log may be named in any order, or by their folder; without a LOG it is
    the folder that the configuration names. With `--policy`
    the sessions go where that policy sends them, else where the log says that they went. The
    exit status is 0 if then and now agree, 1 if they do not, 2 if something could not be read
    or the log knows no such session.

    \b
    Examples:
      migrate policy replay
      migrate policy replay --policy new.policy --since 2h --changes
      migrate policy replay --policy installed --session 3fa9
      migrate policy replay --policy new.policy --json events-*.jsonl | jq .reasons
    """  # noqa: D301
    policy = _policy(files)
    with _problems():
        rows = _replayed(_parts(logs), policy, until, session, quiet=as_json)
        marks = _print(_chosen(rows, since, session, changes=changes), as_json=as_json)
    if not as_json:
        click.echo(_summary(marks, changes=changes))
    ctx.exit(1 if marks["+"] or marks["-"] else 0)


def _policy(files: Sequence[str]) -> Policy | None:
    """Return the policy that is given; none means that of the log."""
    from migrated.authoring.policies import BadPolicyError, read_policy

    try:
        return read_policy(named_files(files), with_defaults=True) if files else None
    except BadPolicyError as problem:
        raise _CannotReplayError(f"the policy has mistakes:\n{problem}") from problem


def _parts(logs: Iterable[Path]) -> list[Path]:
    """Return the files of the log in the order of time."""
    from migrated.authoring.logs import in_order
    from migrated.recording.files import SUFFIX

    files: list[Path] = []
    for path in logs or (_configured(),):
        found = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not found:
            raise _CannotReplayError(f"there is no file `*{SUFFIX}` in `{path}`")
        files += found
    return in_order(files)


def _configured() -> Path:
    """Return the folder of the daemon's log."""
    from migrated.config import ConfigurationError, load_configuration, named_file
    from migrated.recording.engine import FOLDER

    try:
        return load_configuration(named_file()).state_folder / FOLDER
    except ConfigurationError as error:
        raise _CannotReplayError(str(error)) from error


@contextmanager
def _problems() -> Iterator[None]:
    """Turn what can be wrong with a log into the end of the command."""
    from migrated.authoring.policies import BadPolicyError
    from migrated.authoring.replay import ReplayError

    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise  # of the output, not of the log
        reason = (error.strerror or str(error)).lower()
        raise _CannotReplayError(f"cannot read `{error.filename}`: {reason}") from error
    except BadPolicyError as problem:
        hint = "name one with `--policy`"
        raise _CannotReplayError(f"the policy in the log can't be read; {hint}:\n{problem}") from problem
    except ReplayError as problem:
        raise _CannotReplayError(str(problem)) from problem


def _replayed(
    parts: Sequence[Path], policy: Policy | None, until: float | None, session: str, *, quiet: bool
) -> Iterator[Replayed]:
    """Yield the decisions; tell afterwards which lines were not read, or that there is no such session."""
    from migrated.authoring.logs import read_log
    from migrated.authoring.replay import replay as replayed
    from migrated.recording.entries import SessionAdded

    bad: list[BadLine] = []
    lines = 0
    known = not session
    size = sum(part.stat().st_size for part in parts)
    with progress(size, "replaying", shown=size >= _LONG_LOG_BYTES and not quiet) as advance:

        def read(number: int) -> None:
            nonlocal lines
            lines += 1
            advance(number)

        def look(entry: Entry) -> Entry:
            nonlocal known
            known |= isinstance(entry, SessionAdded) and entry.description.id.startswith(session)
            return entry

        log = _before(read_log(parts, bad=bad.append, read=read), until)
        yield from replayed(map(look, log), policy)
    _tell_bad_lines(bad, lines)
    if not known:
        raise _CannotReplayError(f"there is no session `{session}` in the log")


def _before(entries: Iterable[Entry], until: float | None) -> Iterator[Entry]:
    """Yield the entries up to a time."""
    for entry in entries:
        if until is not None and entry.wall > until:
            return
        yield entry


def _tell_bad_lines(bad: Sequence[BadLine], lines: int) -> None:
    """Say which lines were left out, or that there was nothing else."""
    for line in bad[:_BAD_LINES_SHOWN]:
        click.echo(f"{printable(str(line.file))}:{line.line}: left out: {printable(line.why)}", err=True)
    if len(bad) > _BAD_LINES_SHOWN:
        click.echo(f"{len(bad)} lines were left out", err=True)
    if len(bad) == lines:
        raise _CannotReplayError("there is no line of an event log in it")


def _chosen(
    rows: Iterable[Replayed], since: float | None, session: str, *, changes: bool
) -> Iterator[Replayed]:
    """Yield the decisions that are asked for."""
    for row in rows:
        early = since is not None and row.decision.wall < since
        if not early and row.decision.session.startswith(session) and not (changes and row.mark == "="):
            yield row


def _print(rows: Iterable[Replayed], *, as_json: bool) -> Counter[str]:
    """Print decisions as they come, and count them by their marks."""
    marks: Counter[str] = Counter()
    for row in rows:
        marks[row.mark] += 1
        click.echo(_as_json(row) if as_json else _as_text(row))
    return marks


def _as_json(row: Replayed) -> str:
    import msgspec

    decision = row.decision
    fields = {
        "mark": row.mark,
        "time": decision.wall,
        "clock": decision.clock,
        "session": decision.session,
        "action": decision.action,
        "to": decision.to,
        "name": decision.name,
        "urgent": decision.urgent,
        "reasons": decision.reasons,
    }
    return msgspec.json.encode(fields).decode()


def _as_text(row: Replayed) -> str:
    decision = row.decision
    at = datetime.fromtimestamp(decision.wall).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    where = f" to {decision.name}" if decision.action == "move" else f" on {decision.name}"
    what = f"{decision.action}{where if decision.name else ''}"
    first = printable(f"{row.mark} {at}  {decision.session}  {what}")
    return "\n".join([first, *(f"      because {printable(reason)}" for reason in decision.reasons)])


def _summary(marks: Counter[str], *, changes: bool) -> str:
    shown = [mark for mark in _MEANING if not (changes and mark == "=")]
    return ", ".join(f"{marks[mark]} {_MEANING[mark]} ({mark})" for mark in shown)
