"""The facts of this host are those of its daemon: the same plugins, with the same settings."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrated import facts
from migrated.config import load_configuration
from migrated.facts import known_facts, monitors_of
from monitors.facts import STANDARD_FACTS

PLUGIN = """
import asyncio
from monitors.facts import Fact, FactType, Subject
from monitors.spec import hookimpl

class Zone:
    name = "zone"
    def __init__(self, unit):
        self.facts = (Fact(name="zone.size", type=FactType.NUMBER, unit=unit, subject=Subject.HOST,
                           summary="how large it is", monitor="zone"),)
    async def run(self, report):
        await asyncio.Event().wait()

@hookimpl
def migrate_monitors(surroundings):
    return [Zone(surroundings.settings("zone")["unit"])]
"""
SETTINGS = '[monitors.zone]\nunit = "byte"\n'


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A configuration beside a folder with a plugin."""
    folder = tmp_path / "monitors.d"
    folder.mkdir()
    (folder / "zone.py").write_text(PLUGIN)
    file = tmp_path / "migrated.toml"
    monkeypatch.setenv("MIGRATE_CONFIG", str(file))
    yield file
    facts._facts_under.cache_clear()


def test_the_configuration_names_folders_of_plugins_and_has_their_settings(configuration: Path) -> None:
    configuration.write_text(SETTINGS)
    table = known_facts()
    assert (table.known["zone.size"].unit, "zone.size" in table.measured) == ("byte", True)
    assert known_facts() is table  # a plugin is not run for every policy


def test_without_plugins_there_are_the_built_in_monitors(configuration: Path) -> None:
    configuration.write_text("plugins = false\n" + SETTINGS)
    known = known_facts().known
    assert ("rtt" in known, "zone.size" in known) == (True, False)


def test_the_daemon_has_the_same_monitors(configuration: Path) -> None:
    configuration.write_text(SETTINGS)
    found = monitors_of(load_configuration(configuration))
    assert facts.facts_of(found).known.keys() == known_facts().known.keys()


def test_a_broken_configuration_is_told_of_and_facts_are_known_all_the_same(
    configuration: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configuration.write_text("plugins = 1\n")
    with caplog.at_level(logging.WARNING, "migrated.facts"):
        table = known_facts()
    assert table.known.keys() >= STANDARD_FACTS.keys()
    (message,) = [record.getMessage() for record in caplog.records if record.name == "migrated.facts"]
    assert message.startswith(
        f"{configuration}:1: `plugins` can't be `1`: expected true or false; of monitors"
    )


def test_a_policy_without_facts_is_checked_without_plugins(configuration: Path, tmp_path: Path) -> None:
    configuration.write_text(SETTINGS)
    (tmp_path / "monitors.d" / "zone.py").write_text("raise SystemExit('it was imported')")
    (tmp_path / "a.policy").write_text("score-interface eth* 10\n")
    script = (
        "import sys; from migrated.commands import cli;"
        "cli(['policy', 'check', 'a.policy'], standalone_mode=False);"
        "sys.exit(' '.join({'pyroute2', 'monitors.discovery'} & sys.modules.keys()) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
