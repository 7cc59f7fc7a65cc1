"""The example plugins as whoever uses them has them: packages that pip has installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from monitors.discovery import discover
from monitors.origins import Kind, Origin
from monitors.spec import ENTRY_POINT_GROUP
from monitors.surroundings import Solitude

PLUGINS = Path(__file__).parents[2] / "examples" / "plugins"
NAMES = {"gps_zone": "gps-zone", "prometheus": "prometheus"}
CONFIGURATION = """
[monitors.gps-zone.zones.port]
latitude = 54.32
longitude = 10.14
radius = 500

[monitors.prometheus.queries.loss]
query = "up"
unit = "%"
"""
POLICY = """\
monitor-policy {
    when gps-zone.zone = port score-interface wlan* 50
    when gps-zone.speed > 15 score-interface wlan* never
    when prometheus.loss > 5% until prometheus.loss < 1%
        score-interface ppp* -20
}
"""
MIGRATE = ("-c", "from migrated.commands import main; main()")
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which pip has installed both."""
    folder = tmp_path_factory.mktemp("plugins") / "site"
    command = (
        "-m",
        "pip",
        "--quiet",
        "install",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--target",
    )
    run(*command, folder, *(PLUGINS / name for name in NAMES), environment={})
    return folder


@pytest.fixture
def environment(installed: Path, tmp_path: Path) -> Mapping[str, str]:
    """Return an environment in which they are found, with a configuration that has settings for both."""
    (tmp_path / "migrated.toml").write_text(CONFIGURATION)
    return {"PYTHONPATH": str(installed), "MIGRATE_CONFIG": str(tmp_path / "migrated.toml")}


def run(*arguments: object, environment: Mapping[str, str], folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def test_they_are_found_by_their_entry_points(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    points = [
        point
        for distribution in distributions(path=[str(installed)])
        for point in distribution.entry_points.select(group=ENTRY_POINT_GROUP)
    ]
    found = discover(points=points, surroundings=Solitude())
    assert found.failures == ()
    assert {monitor.name for monitor in found.monitors} == set(NAMES.values())
    assert found.origins["gps-zone"] == Origin(Kind.PLUGIN, "migrate-gps-zone 0.1.0")


@pytest.mark.parametrize("plugin", NAMES)
def test_their_own_tests_pass(plugin: str, installed: Path, tmp_path: Path) -> None:
    """They are given the tests alone, so that it is the installed module which is tested."""
    (test,) = (PLUGINS / plugin).glob("test_*.py")
    (tmp_path / test.name).write_text(test.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    said = run("-m", "pytest", "-q", environment={"PYTHONPATH": str(installed)}, folder=tmp_path)
    assert " passed" in said


def test_their_facts_are_of_the_language(environment: Mapping[str, str], tmp_path: Path) -> None:
    listed: list[dict[str, Any]] = json.loads(run(*MIGRATE, "facts", "--json", environment=environment))
    facts = {fact["name"]: fact for fact in listed if fact["monitor"] in NAMES.values()}
    assert sorted(facts) == ["gps-zone.fix", "gps-zone.speed", "gps-zone.zone", "prometheus.loss"]
    assert all(fact["measured"] for fact in facts.values())
    assert facts["gps-zone.zone"]["choices"] == ["port", "elsewhere"]
    (tmp_path / "my.policy").write_text(POLICY)
    said = run(*MIGRATE, "policy", "check", "my.policy", environment=environment, folder=tmp_path)
    assert said == "1 file checked: no problems\n"


@pytest.mark.parametrize("name", NAMES.values())
def test_nothing_is_wrong_with_them_here(name: str, environment: Mapping[str, str]) -> None:
    said = run(*MIGRATE, "monitors", "check", "--seconds", "0.3", name, environment=environment)
    assert "  nothing is wrong" in said


@pytest.mark.parametrize("plugin", NAMES)
def test_they_are_described(plugin: str) -> None:
    text = (PLUGINS / "README.md").read_text()
    assert f"]({plugin}/README.md)" in text
    assert (PLUGINS / plugin / "README.md").read_text().startswith(f"# {NAMES[plugin]}\n")
