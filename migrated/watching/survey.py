"""What patterns lead to now: every folder on the way, and what can be told of the files without reading them.

A file is reached by a way of folders and symbolic links, and each step of it can be replaced: the file, a
link, a folder, the folder that holds that folder. So every folder on the way counts, with the one name
(or pattern) in it by which the way goes on. What happens to other names there is no concern of ours.

Source: path_resolution(7) and inotify(7), "Limitations and caveats".
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from typing import Final

MAX_FOLDERS: Final = 512
"""Most folders that are looked into; what lies in further ones is not noticed."""

MAX_NAMES: Final = 20_000
"""Most names that are looked at; what further ones lead to is not noticed."""

MAX_HOPS: Final = 40
"""Most symbolic links on one way, as in the kernel. Source: path_resolution(7)."""

_ANY_DEPTH: Final = "**"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder at a path: another one that takes its place there is another value."""

    path: str
    device: int
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What can be told of a file without reading it. ``path`` has no symbolic link in it."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Where patterns lead.

    Attributes:
        folders: every folder on the way, and the names in it by which a way goes on, as patterns.
        files: the files at the end.
        complete: whether nothing was left out because of ``MAX_FOLDERS`` or ``MAX_NAMES``.
    """

    folders: dict[Folder, frozenset[str]]
    files: frozenset[Stamp]
    complete: bool


def survey(patterns: Collection[str]) -> Survey:
    """Look where patterns lead now. What does not exist, or is closed to us, ends the way and is no error.

    Args:
        patterns: absolute paths or patterns, ``**`` for folders in folders.
    """
    walk = _Walk()
    for pattern in patterns:
        walk.follow("/", _steps(pattern), MAX_HOPS)
    return walk.result()


class _Walk:
    """One look: what was found so far."""

    def __init__(self) -> None:
        self._names: defaultdict[Folder, set[str]] = defaultdict(set)
        self._files: set[Stamp] = set()
        self._left = MAX_NAMES
        self._complete = True

    def result(self) -> Survey:
        """Return what was found."""
        return Survey(
            folders={folder: frozenset(names) for folder, names in self._names.items()},
            files=frozenset(self._files),
            complete=self._complete,
        )

    def follow(self, path: str, steps: tuple[str, ...], hops: int) -> None:
        """Go on from a folder, whose path has no symbolic link in it."""
        if not steps:
            return
        step, rest = steps[0], steps[1:]
        if step == "..":
            self.follow(os.path.dirname(path), rest, hops)  # noqa: PTH120 - text, thousands of times
            return
        if not self._enter(path, "*" if step == _ANY_DEPTH else step):
            return
        if step == _ANY_DEPTH:
            self.follow(path, rest, hops)
            for name in _names(path, "*"):
                if os.path.isdir(f"{path}/{name}") and not os.path.islink(f"{path}/{name}"):  # noqa: PTH112,PTH114
                    self.follow(_joined(path, name), steps, hops)
            return
        for name in _names(path, step):
            self._step(path, name, rest, hops)

    def _enter(self, path: str, name: str) -> bool:
        """Note a folder and the name in it that counts; return whether it is one."""
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError:
            return False
        folder = Folder(path=path, device=found.st_dev, inode=found.st_ino)
        if folder not in self._names and len(self._names) >= MAX_FOLDERS:
            self._complete = False
            return False
        self._names[folder].add(name)
        return stat.S_ISDIR(found.st_mode)

    def _step(self, folder: str, name: str, rest: tuple[str, ...], hops: int) -> None:
        if not self._left:
            self._complete = False
            return
        self._left -= 1
        path = _joined(folder, name)
        try:
            found = os.lstat(path)
            if not stat.S_ISLNK(found.st_mode):
                self._arrive(path, found, rest, hops)
                return
            target = os.readlink(path)  # noqa: PTH115
        except OSError:
            return
        if hops:
            self.follow("/" if target.startswith("/") else folder, (*_steps(target), *rest), hops - 1)

    def _arrive(self, path: str, found: os.stat_result, rest: tuple[str, ...], hops: int) -> None:
        if stat.S_ISDIR(found.st_mode):
            self.follow(path, rest, hops)
        elif not rest:
            self._files.add(
                Stamp(
                    path=path,
                    device=found.st_dev,
                    inode=found.st_ino,
                    size=found.st_size,
                    mtime_ns=found.st_mtime_ns,
                    mode=found.st_mode,
                )
            )


def _steps(path: str) -> tuple[str, ...]:
    return tuple(step for step in path.split("/") if step not in ("", "."))


def _joined(folder: str, name: str) -> str:
    return f"/{name}" if folder == "/" else f"{folder}/{name}"


def _names(folder: str, step: str) -> Iterable[str]:
    """Return the names in a folder that a step of a way means, whether or not they exist."""
    return _matching(folder, step) if has_magic(step) else (step,)


def _matching(folder: str, pattern: str) -> Iterator[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return iter(())
    return (name for name in names if fnmatchcase(name, pattern))
