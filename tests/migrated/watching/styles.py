"""The ways in which programs save a file, and in which administrators replace one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path


def policy(score: int) -> str:
    """Return a policy that gives every link this score."""
    return f"monitor-policy {{ score-interface * {score} }}\n"


def in_place(file: Path, text: str) -> None:
    """Truncate and write, as a shell's redirection does."""
    with file.open("w") as opened:
        opened.write(text)


def write_and_rename(file: Path, text: str) -> None:
    """Write another file in the same folder and rename it."""
    new = file.with_name(f".{file.name}.swp")
    new.write_text(text)
    new.rename(file)


def rename_from_elsewhere(file: Path, text: str) -> None:
    """Write a file in another folder and rename it."""
    elsewhere = file.parent.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "new").write_text(text)
    (elsewhere / "new").rename(file)


def backup_rename(file: Path, text: str) -> None:
    """Rename the old file, write a new one, remove the old one: vim with `backupcopy=no`."""
    old = file.with_name(f"{file.name}~")
    file.rename(old)
    file.write_text(text)
    old.unlink()


def delete_and_create(file: Path, text: str) -> None:
    """Remove the file and write it again."""
    file.unlink()
    file.write_text(text)


def replaced_folder(file: Path, text: str) -> None:
    """Put another folder in the place of the file's."""
    folder = file.parent
    new, old = folder.with_name("new-folder"), folder.with_name("old-folder")
    new.mkdir()
    (new / file.name).write_text(text)
    folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old)


def removed_folder(file: Path, text: str) -> None:
    """Remove the folder and make it again."""
    shutil.rmtree(file.parent)
    file.parent.mkdir()
    file.write_text(text)


def replaced_grandparent(file: Path, text: str) -> None:
    """Put another folder in the place of the one that holds the file's."""
    top = file.parent.parent
    new, old = top.with_name("new-top"), top.with_name("old-top")
    (new / file.parent.name).mkdir(parents=True)
    (new / file.parent.name / file.name).write_text(text)
    top.rename(old)
    new.rename(top)
    shutil.rmtree(old)


def vim(*options: str) -> Callable[[Path, str], None]:
    """Return what saves with the real editor."""

    def save(file: Path, text: str) -> None:
        commands = [part for option in options for part in ("-c", f"set {option}")]
        subprocess.run(
            ["ex", "-u", "NONE", "-s", *commands, "-c", f"1s#.*#{text.strip()}#", "-c", "wq", str(file)],
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    return save


def sed(file: Path, text: str) -> None:
    """Save with `sed -i`."""
    subprocess.run(["sed", "-i", f"1s/.*/{text.strip()}/", str(file)], check=True, timeout=60)


class ConfigMap:
    """A volume of Kubernetes: ``name -> ..data/name``, and ``..data`` a link to a folder with a date.

    Source: AtomicWriter in kubernetes/pkg/volume/util/atomic_writer.go, the steps in its comment.
    """

    def __init__(self, volume: Path) -> None:
        self._volume = volume
        self._number = 0

    def write(self, file: Path, text: str) -> None:
        """Swap the whole volume for one with this file."""
        before = self._volume / f"..2026_{self._number}"
        self._number += 1
        dated = self._volume / f"..2026_{self._number}"
        dated.mkdir()
        (dated / file.name).write_text(text)
        link = self._volume / "..data_tmp"
        link.symlink_to(dated.name)
        link.rename(self._volume / "..data")
        if not os.path.lexists(file):
            file.symlink_to(f"..data/{file.name}")
        if before.exists():
            shutil.rmtree(before)
