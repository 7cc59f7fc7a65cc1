from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from monitors import discovery
from monitors.discovery import Discovery, discover
from monitors.files import PluginFileError, files_in, load_file
from monitors.origins import Kind, Origin
from monitors.surroundings import Solitude

MONITOR = """
from __future__ import annotations
from dataclasses import dataclass
from monitors.spec import hookimpl

@dataclass
class Weather:
    name: str = "NAME"
    facts: tuple = ()

    async def run(self, report):
        raise NotImplementedError

@hookimpl
def migrate_monitors():
    return [Weather()]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "monitors.d"
    folder.mkdir(mode=0o755)
    return folder


def write(folder: Path, name: str, text: str = "", mode: int = 0o644) -> Path:
    file = folder / f"{name}.py"
    file.write_text(text or MONITOR.replace("NAME", name))
    file.chmod(mode)
    return file


def found_in(*folders: Path, settings: Mapping[str, Mapping[str, object]] | None = None) -> Discovery:
    return discover(points=[], folders=folders, surroundings=Solitude(settings))


def test_each_file_of_a_folder_offers_its_monitors(folder: Path) -> None:
    write(folder, "weather")
    tide = write(folder, "tide")
    found = found_in(folder)
    assert [monitor.name for monitor in found.monitors] == ["tide", "weather"]
    assert found.origins["tide"] == Origin(Kind.FILE, str(tide))
    assert found.failures == ()


def test_files_that_are_no_monitors_are_passed_over(folder: Path) -> None:
    for name in ("_shared", ".hidden"):
        write(folder, name, "raise AssertionError")
    (folder / "README").write_text("no monitor")
    assert files_in(folder) == ()


def test_a_folder_need_not_exist(tmp_path: Path) -> None:
    assert found_in(tmp_path / "nowhere") == found_in()


def test_files_are_no_modules_that_others_could_import(folder: Path) -> None:
    write(folder, "json")
    (monitor,) = found_in(folder).monitors
    assert monitor.name == "json"
    assert type(monitor).__module__ not in ("json", "monitors.json")
    assert str(folder) not in sys.path
    assert not (folder / "__pycache__").exists()


def test_a_file_that_fails_stops_no_other(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder, "broken", "import no_such_module")
    write(folder, "leaves", "import sys; sys.exit('bye')")
    write(folder, "misspelt", MONITOR.replace("def migrate_monitors", "def migrate_monitor"))
    write(folder, "syntax", "def")
    write(folder, "weather")
    found = found_in(folder)
    assert [monitor.name for monitor in found.monitors] == ["weather"]
    reasons = {failure.name: failure.reason for failure in found.failures}
    assert reasons["broken"] == "ModuleNotFoundError: No module named 'no_such_module' (broken.py, line 1)"
    assert reasons["leaves"] == "SystemExit: bye (leaves.py, line 1)"
    assert "unknown hook" in reasons["misspelt"]
    assert reasons["syntax"].startswith("SyntaxError: ")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert len(caplog.records) == 4


def test_a_file_that_hangs_while_it_is_imported_stops_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of it passes. The other file has to be loaded by then, beside a thread that never rests.
    monkeypatch.setattr(discovery, "LOAD_LIMIT_S", 4.0)
    write(folder, "hangs", "while True: pass")
    write(folder, "weather")
    found = found_in(folder)
    assert [monitor.name for monitor in found.monitors] == ["weather"]
    assert [(failure.name, failure.reason) for failure in found.failures] == [
        ("hangs", "it did not load within 4 s")
    ]


def test_without_plugins_no_file_is_read(folder: Path) -> None:
    write(folder, "weather", "raise AssertionError")
    found = discover(points=[], plugins=False, folders=[folder])
    assert (found.monitors, found.failures) == ((), ())


def test_the_same_monitor_in_two_folders_is_used_once(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "more"
    other.mkdir(mode=0o755)
    for place in (folder, other):
        write(place, "weather")
    found = found_in(folder, other)
    assert found.origins["weather"].where == str(folder / "weather.py")
    (failure,) = found.failures
    assert failure.reason == f"there is already a monitor named `weather`, that of `{folder / 'weather.py'}`"
    assert failure.origin.where == str(other / "weather.py")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_is_refused(folder: Path, mode: int) -> None:
    file = write(folder, "weather", "raise AssertionError", mode)
    (failure,) = found_in(folder).failures
    assert failure.reason == f"others may write `{file}`; forbid it with `chmod go-w {file}`"


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_folder_into_which_others_may_write_is_refused(folder: Path, mode: int) -> None:
    write(folder, "weather", "raise AssertionError")
    folder.chmod(mode)
    (failure,) = found_in(folder).failures
    assert (failure.name, failure.origin) == ("monitors.d", Origin(Kind.FILE, str(folder)))
    assert failure.reason == f"others may write `{folder}`; forbid it with `chmod go-w {folder}`"


def test_what_a_link_leads_to_is_judged(folder: Path, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    target = write(open_to_all, "weather", "raise AssertionError")
    (folder / "weather.py").symlink_to(target)
    open_to_all.chmod(0o777)
    with pytest.raises(PluginFileError, match=f"others may write `{open_to_all}`"):
        load_file(folder / "weather.py")


def test_a_file_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(folder, "weather", "raise AssertionError")
    try:
        os.chown(file, 4242, -1)
    except OSError:  # in a namespace that has no such user the file is not ours if we are not we
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
        monkeypatch.setattr("monitors.files.ROOT", 4242)
    with pytest.raises(PluginFileError, match=f"give it to root with `chown root {file}`"):
        load_file(file)


def test_a_link_that_leads_nowhere_is_told(folder: Path) -> None:
    (folder / "weather.py").symlink_to(folder / "gone.py")
    (failure,) = found_in(folder).failures
    assert failure.reason == f"`{folder / 'gone.py'}` can't be read: No such file or directory"


@pytest.mark.parametrize("make", [partial(os.mkfifo, mode=0o600), os.mkdir])
def test_what_is_no_file_is_not_waited_for(folder: Path, make: Callable[[Path], None]) -> None:
    before = [name for name in sys.modules if name.startswith("migrate_file_weather_")]
    make(folder / "weather.py")
    (failure,) = found_in(folder).failures
    assert failure.reason == f"`{folder / 'weather.py'}` is no regular file"
    assert [name for name in sys.modules if name.startswith("migrate_file_weather_")] == before


def test_a_file_is_judged_as_it_is_when_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can rename the folder could put another file there after it was judged."""
    file = write(folder, "weather", "raise AssertionError")
    real = os.open

    def swapped(path: str, flags: int) -> int:
        file.chmod(0o666)
        return real(path, flags)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(PluginFileError, match="others may write"):
        load_file(file)


def test_a_file_can_be_switched_off_unread(folder: Path) -> None:
    file = write(folder, "weather", "raise AssertionError")
    found = found_in(folder, settings={"weather": {"enabled": False}})
    assert found.switched_off == {"weather": Origin(Kind.FILE, str(file))}
    assert (found.monitors, found.failures) == ((), ())
