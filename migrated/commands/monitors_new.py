"""`migrate monitors new`: a project with one monitor of your own, and its test."""

from __future__ import annotations

import re
import stat
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

import click

from migrated.commands.client import PlainError

_NAME_MAX: Final = 40
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_TEMPLATES: Final = "monitor_template"


class CannotWriteError(PlainError):
    """End the command with status 2: the project can't be written."""

    exit_code = 2


@click.command()
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the project; by default one with the monitor's name, here.",
)
def new(name: str, directory: Path | None) -> None:
    """Write a project with one monitor: a module, its tests and what is needed to install it.

    The monitor works as it is: it reads a number in a file, which its settings name, and makes it a fact for
    policies. Change it into one of your own. Nothing that exists is ever overwritten.

    The exit status is 0, or 2 if the name can't be used or the project can't be written.

    \b
    Examples:
      migrate monitors new weather
      cd weather && pytest
      migrate monitors new vpn-load --directory ~/src/vpn-load
    """  # noqa: D301
    module = _checked(name)
    folder = directory or Path(name)
    for path in _write(folder, name, module):
        click.echo(f"wrote {path}")
    click.echo(f"next: cd {folder} && pytest && migrate monitors check {module}.py")


def _checked(name: str) -> str:
    """Return the module of a monitor's name.

    Raises:
        click.BadParameter: no monitor can be called so, or no module any more.
    """
    from keyword import iskeyword

    if not _fits(name):
        raise _bad(f"`{name:.60}` is no name for a monitor; {_better(name)}")
    module = name.replace("-", "_")
    if iskeyword(module):
        raise _bad(f"`{module}` is a word of Python's; use a name like `my-{name}`")
    if _is_monitor(name):
        raise _bad(f"there is a monitor `{name}` already; use a name like `my-{name}`")
    if find_spec(module) is not None:
        raise _bad(f"there is a Python module `{module}` already; use a name like `my-{name}`")
    return module


def _fits(name: str) -> bool:
    from monitors.spec import NAME

    return NAME.fullmatch(name) is not None and len(name) <= _NAME_MAX


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="'NAME'")


def _better(name: str) -> str:
    """Return advice: the nearest name that would do, or an example."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    guess = "-".join(words)
    if _fits(guess):
        return f"did you mean `{guess}`?"
    return f"use up to {_NAME_MAX} small letters, digits and single hyphens, such as `my-monitor`"


def _is_monitor(name: str) -> bool:
    from importlib.metadata import entry_points

    from monitors.spec import ENTRY_POINT_GROUP

    return bool(entry_points(group=ENTRY_POINT_GROUP, name=name))


def _write(folder: Path, name: str, module: str) -> list[Path]:
    """Write the project and return its files.

    Raises:
        CannotWriteError: there is something already, or the system refuses.
    """
    words = {
        "name": name,
        "module": module,
        "camel": "".join(word.capitalize() for word in name.split("-")),
        "version": version("migrate-sessions"),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CannotWriteError(f"`{folder}` is not empty; name another folder with `--directory`")
        return [_write_one(template, folder, words) for template in _templates()]
    except OSError as error:
        raise CannotWriteError(f"`{error.filename or folder}` can't be written: {error.strerror}") from error


def _templates() -> list[str]:
    folder = files("migrated.commands").joinpath(_TEMPLATES)
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".template"))


def _write_one(template: str, folder: Path, words: dict[str, str]) -> Path:
    text = files("migrated.commands").joinpath(_TEMPLATES, template).read_text(encoding="utf-8")
    path = folder / template.removesuffix(".template").replace("module", words["module"])
    with path.open("x", encoding="utf-8") as file:
        file.write(Template(text).substitute(words))
    path.chmod(path.stat().st_mode & ~_OTHERS_WRITE)  # whatever the umask: the daemon runs nothing else
    return path
