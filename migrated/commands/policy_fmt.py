"""`migrate policy fmt`: policy files in the one canonical form."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from tempfile import mkstemp

import click

from policylang import UNREADABLE, Diagnostic, render_text, to_json
from policylang.diagnostics import Report, whole_file
from policylang.formatting import format_policy
from policylang.loader import MAX_POLICY_BYTES, decode, read_bytes
from policylang.values import BadValueError

_STDIN = "-"
_UNWRITABLE = "unwritable"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What became of a file.

    Attributes:
        file: How the user called it.
        before: Its content.
        after: Its content in the canonical form; ``None`` where it has mistakes or can't be read.
        problems: The mistakes, warnings aside.
    """

    file: str
    before: bytes = b""
    after: bytes | None = None
    problems: tuple[Diagnostic, ...] = ()

    @property
    def name(self) -> str:
        """How messages call it."""
        return "<stdin>" if self.file == _STDIN else self.file

    @property
    def status(self) -> str:
        """What `--json` calls it."""
        if self.after is None or self.problems:
            return "failed"
        return "canonical" if self.before == self.after else "changed"


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False))
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; name the files that are not canonical."
)
@click.option("--diff", "as_diff", is_flag=True, help="Write nothing; print what would change.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def fmt(ctx: click.Context, files: tuple[str, ...], only_check: bool, as_diff: bool, as_json: bool) -> None:
    """Lay policy files out in the one canonical form; the words and all comments stay.

    Files are rewritten in place, as a whole or not at all; a file with mistakes is not touched. `-` reads
    the standard input and prints the result. The exit status is 0 if all is well, 1 if a file has
    mistakes or, with `--check`, is not canonical, and 2 if one could not be read or written.

    \b
    Examples:
      migrate policy fmt my.policy
      migrate policy fmt --check /etc/migrate/policy.d/*.policy
      migrate policy fmt --diff my.policy
      cat my.policy | migrate policy fmt -
    """  # noqa: D301
    if as_json and (as_diff or (_STDIN in files and not only_check)):
        raise click.UsageError("`--json` goes with neither `--diff` nor a policy on the standard output")
    outcomes = [_formatted(file) for file in files]
    if not only_check and not as_diff:
        outcomes = [_delivered(outcome) for outcome in outcomes]
    if as_json:
        _print_json(outcomes)
    else:
        _print_text(outcomes, only_check=only_check, as_diff=as_diff)
    ctx.exit(_exit_status(outcomes, only_check=only_check))


def _formatted(file: str) -> _Outcome:
    unread = _Outcome(file=file)
    try:
        data = sys.stdin.buffer.read(MAX_POLICY_BYTES + 1) if file == _STDIN else read_bytes(Path(file))
        result = format_policy(decode(data), unread.name)
    except OSError as error:
        return _failed(unread, UNREADABLE, f"cannot read this file: {_reason(error)}")
    except BadValueError as problem:
        return _failed(unread, problem.code, problem.message, problem.hint)
    if result.text is None:
        return replace(unread, problems=result.diagnostics)
    return replace(unread, before=data, after=result.text.encode())


def _delivered(outcome: _Outcome) -> _Outcome:
    """Write the canonical form where it belongs; return what became of it."""
    if outcome.after is None:
        return outcome
    if outcome.file == _STDIN:
        click.echo(outcome.after, nl=False)
    elif outcome.status == "changed":
        try:
            _rewrite(Path(outcome.file).resolve(), outcome.before, outcome.after)
        except OSError as error:
            return _failed(outcome, _UNWRITABLE, f"cannot write this file: {_reason(error)}")
    return outcome


def _rewrite(file: Path, before: bytes, content: bytes) -> None:
    """Put another file in the place of one, with its owner and mode.

    Args:
        file: The file itself: a symbolic link in its place would be lost.
        before: What it held when it was read.
        content: What it is to hold.

    Raises:
        OSError: It can't be replaced; it is then as it was.
    """
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if not os.access(file, os.W_OK):  # its folder alone would do for what follows
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # A name that neither `*` nor `*.policy` matches: whoever includes this folder must not read the draft.
    descriptor, draft = mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as writer:
            writer.write(content)
            writer.flush()
            _dress(writer.fileno(), status)
            os.fsync(writer.fileno())
        if read_bytes(file) not in (before, content):
            raise OSError(errno.EBUSY, "somebody has changed it meanwhile")
        Path(draft).replace(file)
    finally:
        Path(draft).unlink(missing_ok=True)


def _dress(descriptor: int, status: os.stat_result) -> None:
    """Give a new file the owner, group and mode of another."""
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def _failed(outcome: _Outcome, code: str, message: str, hint: str = "") -> _Outcome:
    report = Report(file=outcome.name, text="")
    report.error(whole_file(outcome.name), code, message, hint)
    return replace(outcome, problems=report.diagnostics())


def _print_text(outcomes: Sequence[_Outcome], *, only_check: bool, as_diff: bool) -> None:
    """Print mistakes and figures on standard error; standard output has names, or texts, alone."""
    for outcome in outcomes:
        for problem in outcome.problems:
            click.echo(render_text(problem), err=True)
        if outcome.status == "changed" and as_diff:
            click.echo("".join(_diff(outcome)), nl=False)
        elif outcome.status == "changed" and (only_check or outcome.file != _STDIN):
            click.echo(outcome.name)
    # An editor may take both outputs of what it pipes a text through for the text.
    told = [outcome for outcome in outcomes if only_check or outcome.file != _STDIN]
    if told:
        click.echo(_summary(told, written=not only_check and not as_diff), err=True)


def _summary(outcomes: Sequence[_Outcome], *, written: bool) -> str:
    count = Counter(outcome.status for outcome in outcomes)
    words = {
        "changed": "laid out anew" if written else "not in the canonical form",
        "canonical": "canonical already" if written else "canonical",
        "failed": "not touched because of mistakes",
    }
    return ", ".join(f"{count[status]} {said}" for status, said in words.items() if count[status])


def _print_json(outcomes: Sequence[_Outcome]) -> None:
    import json

    listed = [
        {
            "file": outcome.file,
            "status": outcome.status,
            "diagnostics": [to_json(problem) for problem in outcome.problems],
        }
        for outcome in outcomes
    ]
    click.echo(json.dumps({"files": listed}, indent=2))


def _diff(outcome: _Outcome) -> Iterator[str]:
    """Return the lines of a unified diff that `patch` takes."""
    from difflib import unified_diff

    assert outcome.after is not None
    # Lines as `patch` counts them: they end at a line feed and nowhere else.
    before, after = (list(StringIO(text.decode(), newline="\n")) for text in (outcome.before, outcome.after))
    for line in unified_diff(before, after, outcome.name, outcome.name):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _exit_status(outcomes: Sequence[_Outcome], *, only_check: bool) -> int:
    if any(problem.code in (UNREADABLE, _UNWRITABLE) for outcome in outcomes for problem in outcome.problems):
        return 2
    bad = {"failed", "changed"} if only_check else {"failed"}
    return 1 if any(outcome.status in bad for outcome in outcomes) else 0


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
