"""`migrate policy`: what authors of policies need."""

from __future__ import annotations

import click

from migrated.commands.diagnostics_output import format_option, has_errors, print_diagnostics, unreadable
from migrated.commands.lazy import LazyGroup, Subcommand
from migrated.commands.policy_files import files_argument, json_form_option, loaded, together_option

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
@files_argument
@format_option
@json_form_option
@together_option
@click.pass_context
def check(ctx: click.Context, files: tuple[str, ...], form: str, as_json: bool, together: bool) -> None:
    """Check policy files and show every mistake.

    Each file is read with those that it includes, and by itself; `-` reads the standard input. The exit
    status is 0 if all files are fine, 1 if one has errors, and 2 if one could not be read.

    \b
    Examples:
      migrate policy check examples/figure10.policy
      migrate policy check --together /etc/migrate/policy.d/*.policy
      migrate policy check --json my.policy | jq -r '.diagnostics[].message'
      cat my.policy | migrate policy check -
    """  # noqa: D301
    found = [diagnostic for policy in loaded(files, together=together) for diagnostic in policy.diagnostics]
    print_diagnostics("json" if as_json else form, files, found, done="checked", ok=not has_errors(found))
    ctx.exit(2 if unreadable(found) else int(has_errors(found)))
