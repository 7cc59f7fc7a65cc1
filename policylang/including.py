"""What the text of an `include` leads to: the one file, or those that a pattern matches now."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path

MAX_NAMES = 20_000
"""Most names of files that are looked at for one pattern."""


def files_of(pattern: str, *, most: int) -> list[str] | None:
    """Return the file that a path names, there or not, or those that a pattern matches, by name.

    Args:
        pattern: The path or pattern.
        most: How many files are returned at most.

    Returns:
        The files; ``None`` if the pattern leads past more than ``MAX_NAMES`` names.
    """
    if not has_magic(pattern):
        return [pattern]
    found = _matching(pattern)
    return None if found is None else sorted(found)[:most]


def real(path: Path) -> Path:
    """Return the path without symbolic links, as far as where they lead may be known."""
    try:
        return Path(os.path.realpath(path))
    except OSError:  # where a link leads may be a secret (`/proc/1/cwd`); opening the file says so
        return Path(absolute(str(path)))


def is_special(path: Path) -> bool:
    """Return whether there is a device, a pipe or a socket, which may make its readers wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # whoever opens it will say why
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_nameable(pattern: str) -> bool:
    """Return whether the system takes a text as a path."""
    try:
        return b"\0" not in os.fsencode(pattern)
    except UnicodeEncodeError:
        return False


def absolute(pattern: str) -> str:
    """Return a path or pattern as it reads from anywhere, with nothing in it resolved."""
    return os.path.abspath(pattern)  # noqa: PTH100 - a pattern is no path: nothing of it may be resolved


def _matching(pattern: str) -> list[str] | None:
    """Return the files that a pattern matches; ``None`` if there is too much to look through.

    As `glob.glob`, which would follow links in a circle for ever.
    """
    found, left = [""], MAX_NAMES
    for step in pattern.split("/"):
        if not has_magic(step):
            found = [f"{name}{step}/" for name in found]
            continue
        matched: list[str] = []
        for folder in found:
            names = _names_in(folder or ".")
            left -= len(names) + 1
            if left < 0:
                return None
            matched += (f"{folder}{name}/" for name in names if _matches(name, step))
        found = matched
    return [name for name in (name[:-1] for name in found) if os.path.lexists(name)]


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []


def _matches(name: str, pattern: str) -> bool:
    """Return whether a name matches, by the rule of the shell that `*` passes over hidden files."""
    return fnmatchcase(name, pattern) and (name[0] != "." or pattern[0] == ".")
