"""What names a plugin for `migrate monitors check`: files, folders, entry points and modules."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monitors.files import is_plugin
from monitors.settings import did_you_mean
from monitors.spec import ENTRY_POINT_GROUP
from monitors.testing.child import Request

_PROJECT = "pyproject.toml"

Settings = Mapping[str, dict[str, Any]]


class NoPluginError(Exception):
    """There is no such plugin; the message says what was looked for."""


def installed_plugins() -> dict[str, EntryPoint]:
    """Return the entry points of all monitors that are installed, by name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def requests_of(target: str, settings: Settings, run_s: float) -> list[Request]:
    """Return what is to be checked.

    Args:
        target: a path, the name of an entry point, or a module.
        settings: the tables of the configuration, by monitor.
        run_s: how long each run lasts, in seconds.

    Raises:
        NoPluginError: there is nothing of that name, or nothing in it.
    """
    path = Path(target)
    if path.is_dir():
        found = list(_in_folder(path))
    elif path.exists() or path.suffix == ".py" or "/" in target:
        found = [_file(path)]
    else:
        found = [_installed(target)]
    return [
        Request(
            name=one.name,
            module=one.module,
            file=one.file,
            search=one.search,
            settings=dict(settings),
            run_s=run_s,
        )
        for one in found
    ]


def _file(path: Path) -> Request:
    if not path.is_file():
        raise NoPluginError(f"there is no file `{path}`")
    if path.suffix != ".py":
        raise NoPluginError(f"`{path}` is no Python file; a plugin's name ends with `.py`")
    return Request(name=path.stem, file=str(path.absolute()))


def _in_folder(folder: Path) -> Iterator[Request]:
    """Yield the plugins of a project, or the files that the daemon would load from a folder."""
    project = folder / _PROJECT
    if project.exists():
        yield from _of_project(project)
        return
    files = sorted(filter(is_plugin, folder.glob("*.py")))
    if not files:
        raise NoPluginError(f"`{folder}` has neither a `{_PROJECT}` nor files of monitors")
    yield from map(_file, files)


def _of_project(project: Path) -> Iterator[Request]:
    try:
        table = tomllib.loads(project.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoPluginError(f"`{project}` can't be read: {error}") from error
    points = table.get("project", {}).get("entry-points", {}).get(ENTRY_POINT_GROUP, {})
    if not points:
        heading = f'[project.entry-points."{ENTRY_POINT_GROUP}"]'
        raise NoPluginError(f"`{project}` names no monitors; it needs the table `{heading}`")
    folder = project.parent.absolute()
    for name, module in points.items():
        yield Request(name=name, module=module, search=(str(folder / "src"), str(folder)))


def _installed(target: str) -> Request:
    points = installed_plugins()
    if target in points:
        return Request(name=target, module=points[target].value)
    try:
        known = find_spec(target) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        advice = did_you_mean(target, points) or "give a path, a module or a name of `migrate monitors`"
        raise NoPluginError(f"there is no plugin, file or module `{target}`; {advice}")
    return Request(name=target, module=target)
