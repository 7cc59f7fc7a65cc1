"""What the project says about itself is so."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click import Command, Context, Group

from monitors.discovery import discover
from monitors.spec import ENTRY_POINT_GROUP
from tests.unit_file import UNIT, capabilities, settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("grammar", "policylang", "engine", "monitors", "sessionlayer", "migrated")


def project_files() -> Iterator[Path]:
    """Yield what is the project's own: neither git's, nor the environment's, nor something built.

    Other tests make Python write its `__pycache__` meanwhile, by files that are renamed when they are whole.
    """
    for folder, folders, files in os.walk(ROOT):
        if Path(folder) == ROOT:
            folders[:] = [n for n in folders if n == ".ci" or not n.startswith((".", "build", "dist"))]
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (path for name in files if (path := Path(folder, name)).is_file())


def modules() -> Iterator[Path]:
    return (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def command_at(words: list[str]) -> Command:
    from migrated.commands import cli

    command: Command = cli
    for word in words:
        if not isinstance(command, Group) or not word.islower():
            break
        found = command.get_command(Context(command), word)
        assert found is not None, f"there is no `migrate {' '.join(words)}`"
        command = found
    return command


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_every_target_that_is_named_exists(file: str) -> None:
    text = (ROOT / file).read_text()
    named = set(re.findall(r"(?:(?:^    |`)make|--no-print-directory) ([a-z-]+)", text, re.MULTILINE))
    assert named
    assert named <= makefile_targets()


def test_the_two_set_up_commands_are_the_readmes() -> None:
    section = README.partition("## Try it")[2].partition("\n## ")[0]
    assert re.findall(r"^    (make \w+)", section, re.MULTILINE) == ["make demo", "make test"]


@pytest.mark.parametrize("line", re.findall(r"`(migrate [^`$]+)`", README))
def test_every_command_of_the_readme_exists(line: str) -> None:
    command = command_at(shlex.split(line)[1:])
    options = {name for parameter in command.params for name in parameter.opts}
    assert set(re.findall(r"--[a-z]+", line)) <= options


@pytest.mark.parametrize("script", PROJECT["scripts"].values())
def test_every_entry_point_can_be_called(script: str) -> None:
    module, _, function = script.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize(("name", "module"), PROJECT["entry-points"][ENTRY_POINT_GROUP].items())
def test_every_built_in_monitor_is_a_plugin(name: str, module: str) -> None:
    found = discover(points=[EntryPoint(name=name, value=module, group=ENTRY_POINT_GROUP)])
    assert [monitor.name for monitor in found.monitors] == [name]


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", "examples/README.md", *map(str, (ROOT / "docs").glob("*.md"))]
)
def test_every_link_leads_somewhere(file: str) -> None:
    page = ROOT / file
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_example_is_described() -> None:
    described = (ROOT / "examples" / "README.md").read_text()
    pairs = {path.parent.name for path in (ROOT / "examples").glob("*/suspendable*.py")}
    assert pairs
    assert {name for name in pairs if f"`{name}`" not in described} == set()


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_no_file_names_a_place_on_the_machine_of_its_author() -> None:
    private = re.compile(r"/(?:work|root|tmp/brief|home/\w+)/")
    named = {
        str(path.relative_to(ROOT)): found[0]
        for path in project_files()
        if path != Path(__file__) and (found := private.search(path.read_text(errors="ignore")))
    }
    assert named == {}


def test_the_unit_and_its_description_agree() -> None:
    table = (ROOT / "docs" / "capabilities.md").read_text().partition("\n## ")[0]
    described = {name.lower() for name in re.findall(r"^\| `CAP_(\w+)`", table, re.MULTILINE)}
    assert described == capabilities()


def test_the_readme_lists_the_units_capabilities() -> None:
    assert {name.lower() for name in re.findall(r"`CAP_(\w+)`", README)} == capabilities()


def test_the_unit_hides_no_process_and_no_network_from_the_daemon() -> None:
    assert not {"ProtectProc", "PrivateUsers", "PrivateNetwork"} & settings().keys()
    assert {"ptrace", "pidfd_getfd"} <= set(settings()["SystemCallFilter"])


def test_the_unit_starts_the_daemon_where_the_readme_installs_it() -> None:
    (program,) = settings()["ExecStart"]
    folder, name = program.rsplit("/bin/", 1)
    assert f"python3 -m venv {folder}\n" in README
    assert f"{folder}\n" in README
    assert str(UNIT.relative_to(ROOT)) in README
    assert name in PROJECT["scripts"]
