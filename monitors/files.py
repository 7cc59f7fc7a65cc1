"""Monitors in single files: a folder named in the configuration, no packaging.

Rule: what the daemon runs must be nobody's to change but root's and the daemon's own user's. A file or folder
that others may write is refused, and no compiled copy of a file is ever read in its place.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
import zlib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

ROOT = 0
"""The user who may change everything anyway."""


class PluginFileError(Exception):
    """A file, or a folder of files, can't be used; the message says why, and what to do."""


class _SourceOnly(SourceFileLoader):
    """Neither read nor write ``__pycache__``, whose files would have to be judged as well."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(_read(path), path)


def is_plugin(file: Path) -> bool:
    """Return whether a file of a folder is loaded, by its name: others are parts, or left by editors."""
    return file.suffix == ".py" and file.name[0] not in "_."


def files_in(folder: Path) -> tuple[Path, ...]:
    """Return the files of monitors in a folder, by name; none if there is no such folder.

    Args:
        folder: names in it that begin with ``_`` or ``.`` are passed over.

    Raises:
        PluginFileError: others may write into the folder, or it can't be read.
    """
    try:
        found = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise PluginFileError(f"`{folder}` can't be read: {error.strerror}") from error
    files = tuple(filter(is_plugin, found))
    if files:
        _check_folder(folder)
    return files


def load_file(file: Path) -> ModuleType:
    """Return a file as a module of its own, which no other can import by its name.

    Raises:
        PluginFileError: others may write the file, or the folder of the file that it links to.
        Exception: whatever the file itself raises.
    """
    target = file.resolve()
    _check_folder(target.parent)
    name = f"migrate_file_{file.stem}_{zlib.crc32(os.fsencode(file)):08x}"
    spec = spec_from_file_location(name, target, loader=_SourceOnly(name, str(target)))
    assert spec is not None
    assert spec.loader is not None  # it is ours
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and msgspec look for the types of annotations
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # as an import that fails leaves nothing behind
        raise
    return module


def _check_folder(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise PluginFileError(f"`{path}` can't be read: {error.strerror}") from error
    _check_owner(path, found)


def _read(path: str) -> bytes:
    """Return what a file has, judged by what was opened: by its name it could be another one a moment later.

    What is no file, a pipe for one, might never come to an end, or to a beginning.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PluginFileError(f"`{path}` can't be read: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise PluginFileError(f"`{path}` is no regular file")
        _check_owner(Path(path), found)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (ROOT, os.geteuid()):
        advice = f"give it to root with `chown root {path}`"
        raise PluginFileError(f"`{path}` belongs to `{_user(found.st_uid)}`; {advice}")
    if stat.S_IMODE(found.st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
        raise PluginFileError(f"others may write `{path}`; forbid it with `chmod go-w {path}`")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
