"""The policy files that a command is given: each by itself, or all as one policy."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from migrated.facts import known_facts
from policylang import LoadResult, load_policy, parse_policy_bytes
from policylang.loader import MAX_POLICY_BYTES

_STDIN = "-"

files_argument = click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False)
)
"""Give a command policy files; whoever opens one says why it can't be read."""

json_form_option = click.option("--json", "as_json", is_flag=True, help="The same as `--format json`.")
"""The flag by which all commands print JSON, for those that have a `--format`."""

together_option = click.option(
    "--together", is_flag=True, help="Read the files as one policy, in this order."
)
"""Let a command read files as the daemon does: what one defines is known in those after it."""


def loaded(files: Sequence[str], *, together: bool) -> Iterator[LoadResult]:
    """Read files, each by itself or all as one policy.

    Args:
        files: Their names; `-` is the standard input.
        together: Whether they are one policy.

    Raises:
        click.UsageError: The standard input can't be a part of a policy.
    """
    if together:
        if _STDIN in files:
            raise click.UsageError("`--together` needs files: it can't read the standard input")
        yield load_policy([Path(file) for file in files], facts=known_facts)
        return
    for file in files:
        if file == _STDIN:
            data = sys.stdin.buffer.read(MAX_POLICY_BYTES + 1)
            yield parse_policy_bytes(data, "<stdin>", facts=known_facts)
        else:
            yield load_policy([Path(file)], facts=known_facts)
