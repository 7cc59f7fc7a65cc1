"""`migrate policy diff`: what two policies decide differently, exactly, or over a recorded log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from migrated.commands.client import PlainError, json_option
from migrated.commands.policy_named import complete_named, named_files
from migrated.commands.wording import counted
from migrated.log import printable

if TYPE_CHECKING:
    from engine.difference import Circumstance, Decided, Difference
    from migrated.recording.entries import DecisionGiven
    from policylang.ast import Policy

_SHOWN: Final = 20


class _CannotCompareError(PlainError):
    """End the command with status 2."""

    exit_code = 2


@click.command()
@click.argument("old", shell_complete=complete_named)
@click.argument("new", shell_complete=complete_named)
@click.option(
    "--old",
    "more_old",
    multiple=True,
    metavar="FILE",
    shell_complete=complete_named,
    help="A further file of OLD, read after it; may be given again.",
)
@click.option(
    "--new",
    "more_new",
    multiple=True,
    metavar="FILE",
    shell_complete=complete_named,
    help="A further file of NEW, read after it; may be given again.",
)
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="LOG",
    type=click.Path(exists=True, path_type=Path),
    help="Compare what both decide over this event log instead, a file or a folder; may be given again.",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=_SHOWN,
    show_default=True,
    metavar="N",
    help="Print at most N differences as text.",
)
@json_option
@click.pass_context
def diff(
    ctx: click.Context,
    old: str,
    new: str,
    more_old: tuple[str, ...],
    more_new: tuple[str, ...],
    logs: tuple[Path, ...],
    most: int,
    as_json: bool,
) -> None:
    """Say which sessions two policies decide differently.

    OLD and NEW are policy files, folders whose `*.policy` files are read by name, configurations of the
    daemon (`*.toml`) that name the files of each layer, or the word `installed` for that of this
    host. The shipped defaults are read before each. All kinds of sessions, links and conditions
    are compared, with an example for each difference: policies that are only written
    differently show none. The exit status is 0 if both decide everything alike, 1 if they
    do not, 2 if they could not be compared.

    \b
    Examples:
      migrate policy diff old.policy new.policy
      migrate policy diff installed /etc/migrate/policy.d.new
      migrate policy diff system.policy system.policy --new laptop.policy
      migrate policy diff installed with-a-user-policy.toml
      migrate policy diff installed new.policy --log /var/log/migrate
    """  # noqa: D301
    policies = (_read((old, *more_old)), _read((new, *more_new)))
    if logs:
        differ = _print_over_log(policies, logs, most, as_json=as_json)
    else:
        differ = _print_differences(_compare(policies), most, as_json=as_json)
    ctx.exit(1 if differ else 0)


def _read(names: Sequence[str]) -> Policy:
    """Return the policy that these files and folders make, whatever is measured on this host."""
    from migrated.authoring.policies import every_fact
    from policylang import Severity, load_policy, render_text

    result = load_policy(named_files(names), with_defaults=True, facts=every_fact)
    if result.policy is None:
        errors = [d for d in result.diagnostics if d.severity is Severity.ERROR]
        raise _CannotCompareError(f"`{names[0]}` has mistakes:\n" + "\n".join(map(render_text, errors)))
    return result.policy


# All there can be.


def _compare(policies: tuple[Policy, Policy]) -> tuple[Difference, ...]:
    from engine.difference import TooComplexError, compare

    try:
        return compare(*map(_without_path_health, policies))
    except TooComplexError as problem:
        message = f"these policies can't be compared exactly: {problem}; `--log` compares them over a log"
        raise _CannotCompareError(message) from problem


def _without_path_health(policy: Policy) -> Policy:
    """Return a policy without the shipped conditions, which both have.

    A link that these make a last resort is decided about as one that is not there, and that is compared.
    """
    from dataclasses import replace

    from policylang import DEFAULT_POLICY_FILE
    from policylang.ast import When

    shipped = str(DEFAULT_POLICY_FILE)
    kept = [s for s in policy.statements if not (isinstance(s, When) and s.span.file == shipped)]
    return replace(policy, statements=tuple(kept))


def _print_differences(found: Sequence[Difference], most: int, *, as_json: bool) -> bool:
    if as_json:
        click.echo(_as_json({"equal": not found, "differences": found}))
        return bool(found)
    if not found:
        click.echo("both policies decide everything alike")
    for number, difference in enumerate(found[:most], 1):
        click.echo("\n".join(map(printable, _as_text(number, difference))))
        click.echo()
    if found:
        hidden = f"; {len(found) - most} of them are not shown (`--most`)" if len(found) > most else ""
        click.echo(f"{counted(len(found), 'difference')}{hidden}")
    return bool(found)


def _as_json(value: object) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _as_text(number: int, difference: Difference) -> Iterator[str]:
    """Yield the lines that describe a difference."""
    yield f"{number}. {_session(difference.session)}"
    if difference.candidates:
        kind = "servers" if difference.topic == "servers" else "links"
        yield f"   {kind}: {', '.join(difference.candidates)}"
    for circumstance in difference.circumstances:
        yield f"   {_circumstance(circumstance)}"
    yield f"   old: {_decided(difference.old)}"
    yield f"   new: {_decided(difference.new)}"
    if difference.count > 1:
        yield f"   the same lines decide {counted(difference.count - 1, 'other case')} differently too"


def _session(connections: Sequence[Sequence[str]]) -> str:
    """Return the example session, each connection by what is special about it."""
    if len(connections) == 1:
        return ", ".join(connections[0]) or "any session"
    described = [", ".join(words) or "any" for words in connections]
    return f"a session with {len(connections)} connections: {'; '.join(described)}"


def _circumstance(circumstance: Circumstance) -> str:
    verb = "while" if circumstance.holds else "while not"
    place = "" if circumstance.about in ("host", "session", "connection") else f" on {circumstance.about}"
    return f"{verb} {circumstance.text}{place}"


def _decided(decided: Decided) -> str:
    lines = ", ".join(dict.fromkeys(str(span) for span in decided.spans)) or "no statement"
    return f"{decided.text} ({lines})"


# What a log says there was.


def _print_over_log(
    policies: tuple[Policy, Policy], logs: Sequence[Path], most: int, *, as_json: bool
) -> bool:
    """Print the decisions that only one of the policies gives over a log."""
    old, new = ({_key(decision): decision for decision in _decisions(policy, logs)} for policy in policies)
    rows = [("-", old[key]) for key in old.keys() - new.keys()]
    rows += [("+", new[key]) for key in new.keys() - old.keys()]
    rows.sort(key=lambda row: (row[1].wall, row[1].session, row[0] == "+"))
    if as_json:
        click.echo(_as_json({"equal": not rows, "decisions": [{"mark": m, "decision": d} for m, d in rows]}))
        return bool(rows)
    for mark, decision in islice(rows, most):
        click.echo("\n".join(map(printable, _decision_text(mark, decision))))
    if not rows:
        click.echo(f"both policies decide alike over the log: {counted(len(old), 'decision')}")
    elif len(rows) > most:
        click.echo(f"{len(rows) - most} more are not shown (`--most`)")
    return bool(rows)


def _decisions(policy: Policy, logs: Sequence[Path]) -> Iterator[DecisionGiven]:
    """Yield what a policy decides over a log, whatever was decided when it was recorded."""
    from migrated.authoring.logs import in_order, read_log
    from migrated.authoring.replay import ReplayError, replay

    files = [file for log in logs for file in (sorted(log.iterdir()) if log.is_dir() else (log,))]
    try:
        for row in replay(read_log(in_order(file for file in files if file.is_file())), policy):
            if row.mark != "-":
                yield row.decision
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _CannotCompareError(f"cannot read `{error.filename}`: {reason}") from error
    except ReplayError as problem:
        raise _CannotCompareError(str(problem)) from problem


def _key(decision: DecisionGiven) -> tuple[object, ...]:
    return (decision.wall, decision.session, decision.action, decision.to)


def _decision_text(mark: str, decision: DecisionGiven) -> Iterator[str]:
    at = datetime.fromtimestamp(decision.wall).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    where = f" to {decision.name}" if decision.name else ""
    yield f"{mark} {at}  {decision.session}  {decision.action}{where}"
    yield from (f"      because {reason}" for reason in decision.reasons)
