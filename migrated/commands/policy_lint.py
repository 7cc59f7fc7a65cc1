"""`migrate policy lint`: what is right in policy files and yet hardly meant."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

import policylang.lint
from migrated.commands.diagnostics_output import format_option, print_diagnostics, unreadable
from migrated.commands.policy_files import files_argument, json_form_option, loaded, together_option
from policylang import Diagnostic, Severity
from policylang.diagnostics import did_you_mean, quote
from policylang.lint import RULES, UNKNOWN_CODE, lint_loaded

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_LOOPBACK = "lo"
_CODES: Final = {rule.name: code for code, rule in RULES.items()}
"""The code of each rule by its name."""

# The pages stand in the package where that was installed, else in the checkout.
_PACKAGE = Path(policylang.lint.__file__).parent
_PAGES = (_PACKAGE / "pages", _PACKAGE.parents[1] / "docs" / "lint")


class _NotInstalledError(click.ClickException):
    """End the command with status 2: the program has not all its files."""

    exit_code = 2


class _Rule(click.ParamType[str]):
    """A rule by its code, in capitals or not, or by its name."""

    name = "code"

    def __init__(self, *extra: str) -> None:
        """Take also what is in ``extra`` for a code."""
        self._codes = (*extra, *RULES)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the code."""
        code = _CODES.get(value.lower(), value.upper())
        if code not in self._codes:
            hint = did_you_mean(value, (*self._codes, *_CODES)) or "`migrate policy lint --help` lists them"
            self.fail(f"there is no rule {quote(value)}; {hint}", param, ctx)
        return code

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the codes that begin so, with the names of their rules."""
        from click.shell_completion import CompletionItem

        found = (code for code in RULES if code.startswith(incomplete.upper()))
        return [CompletionItem(code, help=RULES[code].name) for code in found]


def _explain(ctx: click.Context, _parameter: click.Parameter, code: str | None) -> None:
    """Print the page of a rule and end the command."""
    if code is None or ctx.resilient_parsing:
        return
    pages = (folder / f"{code}.md" for folder in _PAGES)
    page = next((page for page in pages if page.is_file()), None)
    if page is None:
        raise _NotInstalledError(f"the page of {code} was not installed: there is no {_PAGES[0] / code}.md")
    click.echo(page.read_text(encoding="utf-8"), nl=False)
    ctx.exit()


@click.command(
    epilog="The rules are " + ", ".join(f"{code} {rule.name}" for code, rule in RULES.items()) + "."
)
@files_argument
@format_option
@json_form_option
@click.option(
    "--select",
    type=_Rule(UNKNOWN_CODE),
    multiple=True,
    metavar="CODE",
    help="Use this rule; may be given again.",
)
@click.option(
    "--ignore",
    type=_Rule(UNKNOWN_CODE),
    multiple=True,
    metavar="CODE",
    help="Leave this rule out; may be given again.",
)
@together_option
@click.option("--no-host", is_flag=True, help="Compare no pattern with the interfaces of this host.")
@click.option(
    "--interface",
    "interfaces",
    multiple=True,
    metavar="NAME",
    help="An interface to compare patterns with; may be given again.  [default: those of this host]",
)
@click.option(
    "--explain",
    type=_Rule(),
    metavar="CODE",
    is_eager=True,
    expose_value=False,
    callback=_explain,
    help="Print the page of a rule and exit.",
)
@click.pass_context
def lint(
    ctx: click.Context,
    files: tuple[str, ...],
    form: str,
    as_json: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    together: bool,
    no_host: bool,
    interfaces: tuple[str, ...],
) -> None:
    """Find what is right in policy files and yet hardly meant.

    Each file is read with those that it includes, and by itself; `-` reads the standard input. The comment
    `# lint: allow CODE` behind a statement, or on a line before it, allows what a rule finds there. A file
    with mistakes is not judged; they are shown instead. The exit status is 0 if nothing was found, 1 if
    something was, and 2 if a file could not be read.

    \b
    Examples:
      migrate policy lint my.policy
      migrate policy lint --ignore P004 /etc/migrate/policy.d/*.policy
      migrate policy lint --interface eth0 --interface wlan0 laptop.policy
      migrate policy lint --explain P001
    """  # noqa: D301
    if no_host and interfaces:
        raise click.UsageError("`--no-host` and `--interface` exclude each other")
    present = None if no_host else frozenset(interfaces or _interfaces_of_host())
    policies = loaded(files, together=together)
    every = (d for policy in policies for d in lint_loaded(policy, interfaces=present))
    found = [d for d in dict.fromkeys(every) if _wanted(d, select, ignore)]
    print_diagnostics("json" if as_json else form, files, found, done="judged", ok=not found)
    ctx.exit(2 if unreadable(found) else int(bool(found)))


def _wanted(diagnostic: Diagnostic, select: Sequence[str], ignore: Sequence[str]) -> bool:
    """Return whether a finding is of a rule that is used; mistakes are always shown."""
    if diagnostic.severity is Severity.ERROR:
        return True
    return diagnostic.code not in ignore and (not select or diagnostic.code in select)


def _interfaces_of_host() -> frozenset[str]:
    return frozenset(name for _, name in socket.if_nameindex()) - {_LOOPBACK}
