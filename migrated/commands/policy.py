"""`migrate policy`: what authors of policies need."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from migrated.commands.lazy import LazyGroup, Subcommand
from migrated.facts import known_facts
from policylang import (
    UNREADABLE,
    Diagnostic,
    Severity,
    load_policy,
    parse_policy_bytes,
    render_text,
    to_github,
    to_json,
)
from policylang.loader import MAX_POLICY_BYTES

_STDIN = "-"

_SUBCOMMANDS = {
    "diff": Subcommand(
        "migrated.commands.policy_diff:diff", "Say which sessions two policies decide differently."
    ),
    "explain": Subcommand(
        "migrated.commands.explain:explain", "Say which link a session would use, and why."
    ),
    "fmt": Subcommand("migrated.commands.policy_fmt:fmt", "Lay policy files out in the one canonical form."),
    "lint": Subcommand("migrated.commands.policy_lint:lint", "Find what is right but hardly meant."),
    "lsp": Subcommand("migrated.commands.policy_lsp:lsp", "Serve an editor (language server protocol)."),
    "replay": Subcommand(
        "migrated.commands.policy_replay:replay", "Say what a policy would have decided, from a log."
    ),
    "show": Subcommand("migrated.commands.policy_show:show", "Print the policy in force."),
    "test": Subcommand(
        "migrated.commands.policy_test:test", "Run timelines: at these events, that decision."
    ),
}


@click.group(cls=LazyGroup, subcommands=_SUBCOMMANDS)
def policy() -> None:
    """Check, format, test, compare and explain policies.

    \b
    Examples:
      migrate policy check my.policy
      migrate policy show
    """  # noqa: D301


@policy.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="How to print what was found; `github` makes annotations.",
)
@click.pass_context
def check(ctx: click.Context, files: tuple[str, ...], form: str) -> None:
    """Check policy files and show every mistake.

    `-` reads the standard input. The exit status is 0 if all files are fine, 1 if one
    has errors, and 2 if one could not be read.

    \b
    Examples:
      migrate policy check examples/figure10.policy
      migrate policy check --format json /etc/migrate/policy.d/*.policy
      cat my.policy | migrate policy check -
    """  # noqa: D301
    found = [diagnostic for file in files for diagnostic in _diagnostics(file)]
    _PRINTERS[form](files, found)
    ctx.exit(_exit_status(found))


def _diagnostics(file: str) -> tuple[Diagnostic, ...]:
    if file == _STDIN:
        data = sys.stdin.buffer.read(MAX_POLICY_BYTES + 1)
        return parse_policy_bytes(data, "<stdin>", facts=known_facts).diagnostics
    return load_policy([Path(file)], facts=known_facts).diagnostics


def _exit_status(found: Sequence[Diagnostic]) -> int:
    if any(diagnostic.code == UNREADABLE for diagnostic in found):
        return 2
    return 1 if any(diagnostic.severity is Severity.ERROR for diagnostic in found) else 0


def _print_text(files: Sequence[str], found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        click.echo(render_text(diagnostic))
    click.echo(f"{_counted(len(files), 'file')} checked: {_verdict(found)}")


def _print_json(files: Sequence[str], found: Sequence[Diagnostic]) -> None:
    import json

    ok = all(diagnostic.severity is not Severity.ERROR for diagnostic in found)
    result = {"ok": ok, "files": list(files), "diagnostics": [to_json(diagnostic) for diagnostic in found]}
    click.echo(json.dumps(result, indent=2))


def _print_github(files: Sequence[str], found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        click.echo(to_github(diagnostic))


_PRINTERS: dict[str, Callable[[Sequence[str], Sequence[Diagnostic]], None]] = {
    "text": _print_text,
    "json": _print_json,
    "github": _print_github,
}


def _verdict(found: Sequence[Diagnostic]) -> str:
    count = Counter(diagnostic.severity for diagnostic in found)
    parts = [_counted(count[severity], severity.value) for severity in Severity if count[severity]]
    return ", ".join(parts) or "no problems"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
