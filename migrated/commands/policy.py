"""`migrate policy`: what authors of policies need."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from migrated.commands.diagnostics_output import format_option, has_errors, print_diagnostics, unreadable
from migrated.commands.lazy import LazyGroup, Subcommand
from migrated.facts import known_facts
from policylang import Diagnostic, load_policy, parse_policy_bytes
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
@format_option
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
    print_diagnostics(form, files, found, done="checked", ok=not has_errors(found))
    ctx.exit(_exit_status(found))


def _diagnostics(file: str) -> tuple[Diagnostic, ...]:
    if file == _STDIN:
        data = sys.stdin.buffer.read(MAX_POLICY_BYTES + 1)
        return parse_policy_bytes(data, "<stdin>", facts=known_facts).diagnostics
    return load_policy([Path(file)], facts=known_facts).diagnostics


def _exit_status(found: Sequence[Diagnostic]) -> int:
    return 2 if unreadable(found) else int(has_errors(found))
