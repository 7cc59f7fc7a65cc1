"""What names a policy for a command: files, folders, and configurations whose files have layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from migrated.commands.client import PlainError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from policylang.loader import PolicyFile

INSTALLED: Final = "installed"
"""The word for the policy files of this host's configuration."""

_SUFFIX: Final = "*.policy"
_CONFIGURATION: Final = ".toml"


class NoPolicyError(PlainError):
    """End the command with status 2: what it was given names no policy files."""

    exit_code = 2


def named_files(names: Sequence[str]) -> list[Path | PolicyFile]:
    """Return the files of one policy, in the order in which they are read within each layer.

    Args:
        names: Of files and folders, which are the host's, and of configurations (`*.toml`), which name
            files of each layer; or `INSTALLED`.

    Raises:
        NoPolicyError: A folder has no policy in it, or a configuration has a mistake.
    """
    return [file for name in names for file in _named(name)]


def _named(name: str) -> Sequence[Path | PolicyFile]:
    path = Path(name)
    if name == INSTALLED or path.suffix == _CONFIGURATION:
        return _configured(None if name == INSTALLED else path)
    if not path.is_dir():
        return (path,)
    found = sorted(path.glob(_SUFFIX))
    if not found:
        raise NoPolicyError(f"there is no file `{_SUFFIX}` in the folder `{name}`")
    return found


def _configured(file: Path | None) -> Sequence[PolicyFile]:
    """Return the policy files of a configuration, that of this host if none is named, with their layers."""
    from migrated.config import ConfigurationError, load_configuration, named_file

    try:
        return load_configuration(file or named_file()).policy_files()
    except ConfigurationError as problem:
        raise NoPolicyError(str(problem)) from problem


def complete_named(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete what `named_files` takes: the word, or a file."""
    from click.shell_completion import CompletionItem

    words = (
        [CompletionItem(INSTALLED, help="the policy of this host")]
        if INSTALLED.startswith(incomplete)
        else []
    )
    return [*words, CompletionItem(incomplete, type="file")]
