"""`migrate monitors new`: what it writes works as it is, and nothing is ever overwritten."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrated.commands import cli

PATIENCE_S = 240.0


def new(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["monitors", "new", *arguments], prog_name="migrate")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "module"), [("weather", "weather"), ("vpn-load", "vpn_load")])
def test_its_tests_pass_and_it_is_well_typed_and_canonical(here: Path, name: str, module: str) -> None:
    result = new(name)
    assert result.exit_code == 0, result.output
    assert (
        result.output.splitlines()[-1] == f"next: cd {name} && pytest && migrate monitors check {module}.py"
    )
    project = here / name
    written = {path.name for path in project.iterdir()}
    assert written == {"README.md", "pyproject.toml", f"{module}.py", f"test_{module}.py"}
    commands = (
        ("pytest", "-q", "-p", "no:cacheprovider"),
        ("mypy", "--strict", "--no-incremental", "--cache-dir", "/dev/null", f"{module}.py"),
        (
            "ruff",
            "check",
            "--no-cache",
            "--isolated",
            "--select",
            "ANN,B,E,F,I,RUF,UP",
            ".",
        ),
        ("ruff", "format", "--no-cache", "--isolated", "--check", "."),
    )
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def test_nobody_else_may_write_the_files_whatever_the_umask(here: Path) -> None:
    before = os.umask(0o002)
    try:
        new("weather")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (here / "weather").iterdir()}
    assert modes == {0o644}


def test_the_project_names_the_monitor_as_an_entry_point(here: Path) -> None:
    new("vpn-load")
    project = tomllib.loads((here / "vpn-load" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["migrate.monitors"] == {"vpn-load": "vpn_load"}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"] == ["vpn_load.py"]


def test_the_folder_may_be_another_and_is_made(here: Path) -> None:
    assert new("weather", "--directory", "a/b").exit_code == 0
    assert (here / "a" / "b" / "weather.py").exists()


def test_an_empty_folder_is_filled(here: Path) -> None:
    (here / "weather").mkdir()
    assert new("weather").exit_code == 0


def test_nothing_is_overwritten(here: Path) -> None:
    (here / "weather").mkdir()
    (here / "weather" / "weather.py").write_text("mine")
    result = new("weather")
    assert result.exit_code == 2
    assert "`weather` is not empty; name another folder with `--directory`" in result.output
    assert [path.name for path in (here / "weather").iterdir()] == ["weather.py"]
    assert (here / "weather" / "weather.py").read_text() == "mine"


def test_a_file_in_the_way_is_named(here: Path) -> None:
    (here / "weather").write_text("")
    result = new("weather")
    assert (result.exit_code, "`weather` can't be written: File exists" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My Monitor", "did you mean `my-monitor`?"),
        ("wetter_9", "did you mean `wetter-9`?"),
        ("9lives", "use up to 40 small letters, digits and single hyphens, such as `my-monitor`"),
        ("ü", "such as `my-monitor`"),
        ("a" * 41, "use up to 40"),
        ("../up", "did you mean `up`?"),
        ("class", "`class` is a word of Python's; use a name like `my-class`"),
        ("power", "there is a monitor `power` already; use a name like `my-power`"),
        ("json", "there is a Python module `json` already; use a name like `my-json`"),
        ("monitors", "there is a Python module `monitors` already"),
    ],
)
def test_a_name_that_can_not_be_used_is_refused(here: Path, name: str, message: str) -> None:
    result = new(name)
    assert result.exit_code == 2
    assert message in result.output
    assert list(here.iterdir()) == []


def test_help_has_examples() -> None:
    assert "migrate monitors new weather" in new("--help").output
