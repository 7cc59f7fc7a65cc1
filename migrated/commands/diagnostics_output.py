"""Diagnostics on the standard output: as text, as JSON or as annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from migrated.commands.wording import counted
from policylang import UNREADABLE, Diagnostic, Severity, render_text, to_github, to_json

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="How to print what was found; `github` makes annotations.",
)
"""Let a command say in which form it prints diagnostics."""


def print_diagnostics(
    form: str, files: Sequence[str], found: Sequence[Diagnostic], *, done: str, ok: bool
) -> None:
    """Print what was found in files.

    Args:
        form: One of the choices of `format_option`.
        files: The files as the user called them.
        found: What was found, in the order in which it is printed.
        done: What was done with the files, as a participle: `checked`.
        ok: Whether all is well with them.
    """
    if form == "json":
        _print_json(files, found, ok)
    elif form == "github":
        _print_github(found)
    else:
        _print_text(files, found, done)


def has_errors(found: Sequence[Diagnostic]) -> bool:
    """Return whether something found keeps a policy from being used."""
    return any(diagnostic.severity is Severity.ERROR for diagnostic in found)


def unreadable(found: Sequence[Diagnostic]) -> bool:
    """Return whether a file could not be read at all."""
    return any(diagnostic.code == UNREADABLE for diagnostic in found)


def _print_text(files: Sequence[str], found: Sequence[Diagnostic], done: str) -> None:
    for diagnostic in found:
        click.echo(render_text(diagnostic))
    click.echo(f"{counted(len(files), 'file')} {done}: {_verdict(found)}")


def _print_json(files: Sequence[str], found: Sequence[Diagnostic], ok: bool) -> None:
    import json

    listed = [to_json(diagnostic) for diagnostic in found]
    result = {"ok": ok, "files": list(files), "diagnostics": listed}
    click.echo(json.dumps(result, indent=2))


def _print_github(found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        click.echo(to_github(diagnostic))


def _verdict(found: Sequence[Diagnostic]) -> str:
    count = Counter(diagnostic.severity for diagnostic in found)
    parts = [counted(count[severity], severity.value) for severity in Severity if count[severity]]
    return ", ".join(parts) or "no problems"
