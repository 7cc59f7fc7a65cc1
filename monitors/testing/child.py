"""Check the monitors of one plugin, in a process that whoever began it can end.

It reads a `Request` from its input and writes an `Outcome` in a line of JSON for each check to its output.
What the plugin itself prints goes to the error output.

    python -P -m monitors.testing.child
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final, Literal

import msgspec
import pluggy
from msgspec import Struct

from monitors import spec
from monitors.discovery import discover
from monitors.files import PluginFileError, load_file
from monitors.spec import ENTRY_POINT_GROUP, PROJECT, Monitor
from monitors.surroundings import Solitude, Surroundings
from monitors.testing.examination import Examination, Finding

PERMISSIONS: Final = "nobody else may write its file"
LOADING: Final = "it loads, and offers its monitors"

_LOADED: Final = "migrate_plugin_under_check"


class Request(Struct, frozen=True):
    """Which plugin to check.

    Attributes:
        name: What failures call it.
        module: Its module, unless it is a file.
        file: Its file, unless it is a module.
        search: Folders to look for modules in, before all others.
        settings: The tables of the configuration, by monitor.
        run_s: How long each run lasts, in seconds.
    """

    name: str
    module: str = ""
    file: str = ""
    search: tuple[str, ...] = ()
    settings: dict[str, dict[str, Any]] = {}
    run_s: float = 1.0


class Outcome(Struct, frozen=True):
    """What came of a check. ``monitor`` is empty for what is about the plugin as a whole."""

    monitor: str
    check: str
    outcome: Literal["ok", "fault", "skipped"]
    message: str = ""


Tell = Callable[[Outcome], None]


def main() -> None:
    """Check what the input asks for."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    with TemporaryDirectory() as folder:
        check(request, Path(folder), lambda outcome: _write(output.write, outcome))
    sys.stdout.flush()
    os._exit(0)  # threads of the plugin that don't end would be waited for


def _write(write: Callable[[bytes], object], outcome: Outcome) -> None:
    write(msgspec.json.encode(outcome) + b"\n")


def check(request: Request, state_folder: Path, tell: Tell) -> None:
    """Check a plugin and each of its monitors.

    Args:
        request: which.
        state_folder: where its monitors may keep files.
        tell: takes each outcome.
    """
    sys.path[:0] = request.search
    surroundings = Solitude(request.settings, state_folder)
    module = _load(request, tell)
    if module is None:
        return
    sys.modules[_LOADED] = module
    logging.getLogger("monitors.discovery").disabled = True  # what it would say is told here
    found = discover(points=[EntryPoint(request.name, _LOADED, ENTRY_POINT_GROUP)], surroundings=surroundings)
    for failure in found.failures:
        tell(Outcome("", LOADING, "fault", failure.reason))
    if found.failures:
        return
    if not found.monitors:
        tell(Outcome("", LOADING, "fault", "it offers no monitor; return one from `migrate_monitors`"))
        return
    tell(Outcome("", LOADING, "ok"))
    for monitor in found.monitors:
        make = partial(_offered, module, surroundings, monitor.name)
        _run(_examine(monitor.name, Examination(make, run_s=request.run_s), tell))


def _load(request: Request, tell: Tell) -> ModuleType | None:
    """Return the plugin's module, or nothing if it can't be imported."""
    try:
        if not request.file:
            return importlib.import_module(request.module)
        try:
            module = load_file(Path(request.file))
            tell(Outcome("", PERMISSIONS, "ok"))
        except PluginFileError as error:
            tell(Outcome("", PERMISSIONS, "fault", f"the daemon would refuse it: {error}"))
            module = _load_anyway(Path(request.file))
    except Exception as error:  # noqa: BLE001 - the isolation of a plugin
        tell(Outcome("", LOADING, "fault", f"{type(error).__name__}: {error}"))
        return None
    return module


def _load_anyway(file: Path) -> ModuleType:
    """Return a file as a module although the daemon would not: whoever checks it has asked for that."""
    module = ModuleType(file.stem)
    sys.modules[_LOADED] = module
    module.__file__, module.__name__ = str(file), _LOADED
    exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)  # noqa: S102
    return module


def _offered(module: ModuleType, surroundings: Surroundings, name: str) -> Monitor:
    """Return a new monitor of a plugin, in this thread."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(spec)
    manager.register(module)
    offers: list[list[Monitor]] = manager.hook.migrate_monitors(surroundings=surroundings)
    return next(monitor for monitor in offers[0] if monitor.name == name)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, and wait for nothing that a monitor has left behind."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(work)
    if not asyncio.all_tasks(loop):
        loop.close()


async def _examine(name: str, examination: Examination, tell: Tell) -> None:
    async for finding in examination.findings():
        tell(_outcome(name, finding))


def _outcome(name: str, finding: Finding) -> Outcome:
    if finding.fault:
        return Outcome(name, finding.check.value, "fault", finding.fault)
    if finding.skipped:
        return Outcome(name, finding.check.value, "skipped", finding.skipped)
    return Outcome(name, finding.check.value, "ok")


if __name__ == "__main__":
    main()
