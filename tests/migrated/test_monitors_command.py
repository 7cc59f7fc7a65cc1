"""`migrate monitors`: the list, and what it is taken for without a subcommand."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from msgspec.structs import replace

from migrated.commands import cli
from migrated.commands.client import age
from tests.migrated.control_fakes import MONITORS, PATIENCE_S, RunningServer, running_server


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunningServer]:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "s"))
    monkeypatch.setattr("migrated.commands.client._COMPLETION_TIMEOUT_S", PATIENCE_S)
    with running_server(tmp_path / "s", {"aa11": os.getuid()}) as server:
        yield server


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["monitors", *arguments], prog_name="migrate")


def test_every_monitor_is_a_row_with_its_state_and_why(running: RunningServer) -> None:
    result = migrate()
    header, carrier, power, weather, losses = result.output.splitlines()
    assert header.split() == [
        "MONITOR",
        "KIND",
        "STATE",
        "FACTS",
        "EVENTS",
        "LAST",
        "EVENT",
        "ERRORS",
        "COST",
    ]
    assert carrier.split()[:5] == ["carrier", "built-in", "running", "2", "12"]
    assert "d ago: eth0 is up\\x1b[2J" in carrier
    assert carrier.split()[-3:] == ["1", "15", "ms/min"]
    assert "not available: there is no battery" in power
    assert "failed to load: ImportError: no module named `sky`" in weather
    assert losses == "3 events gave way to later ones about the same, for want of room"


def test_the_exit_status_says_whether_one_is_in_trouble(running: RunningServer) -> None:
    assert migrate().exit_code == 1
    assert migrate("--json").exit_code == 1
    assert migrate("carrier", "power").exit_code == 0
    running.handler.monitors = replace(MONITORS, monitors=MONITORS.monitors[:2])
    assert migrate().exit_code == 0


def test_verbose_tells_of_origin_cost_and_errors(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1.8e9)
    first, *lines, _ = migrate("-v", "carrier", "weather").output.splitlines()
    assert first == "carrier (built-in)"
    assert lines[:7] == [
        "  state       running for 1 h",
        "  measures    carrier, operstate",
        "  events      12",
        f"  last event  {age(1.5e9)} ago: eth0 is up\\x1b[2J",
        "  errors      1, 2 restarts",
        f"  last error  {age(1.5e9)} ago: oops [b]",
        "  cost        15 ms/min, longest step 12.5 ms",
    ]
    assert lines[7:9] == ["", "weather (plugin, migrate-weather 1.0)"]


def test_a_state_that_lasts_is_told_before_the_reason_for_it(running: RunningServer) -> None:
    stuck = replace(
        MONITORS.monitors[0], state="blocked", detail="it has held up its event loop for 9 s", running_s=10.0
    )
    running.handler.monitors = replace(MONITORS, monitors=(stuck,))
    assert migrate("-v").output.splitlines()[1] == (
        "  state       blocked for 10 s: it has held up its event loop for 9 s"
    )


def test_what_is_no_command_is_for_the_list(running: RunningServer) -> None:
    for arguments in ((), ("carrier",), ("-v",), ("--json", "power")):
        assert migrate(*arguments).output == migrate("list", *arguments).output
    assert "live table" in migrate("--help").output


def test_json_is_the_answer_of_the_daemon(running: RunningServer) -> None:
    found = json.loads(migrate("--json", "power").output)
    assert (found["merged"], found["uptime_s"]) == (3, 3600.0)
    (power,) = found["monitors"]
    assert (power["detail"], power["troubled"]) == ("there is no battery", False)


def test_a_name_that_no_monitor_has_is_an_error(running: RunningServer) -> None:
    result = migrate("wether")
    assert result.exit_code == 2
    assert "there is no monitor `wether`; did you mean `weather`?" in result.stderr


@pytest.mark.parametrize("command", [(), ("list",), ("watch",)])
def test_without_a_daemon_the_status_is_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = migrate(*command, "--socket", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "no daemon is running" in result.stderr


@pytest.mark.parametrize(
    ("before", "typed", "expected"),
    [
        ([], "", {"check", "list", "new", "watch", "carrier", "power", "weather"}),
        ([], "w", {"watch", "weather"}),
        ([], "--v", {"--verbose"}),
        (["power"], "c", {"carrier"}),
        (["list"], "c", {"carrier"}),
        (["watch"], "wifi.", {"wifi.signal", "wifi.ssid"}),
    ],
)
def test_completion(running: RunningServer, before: list[str], typed: str, expected: set[str]) -> None:
    completer = ShellComplete(cli, {}, "migrate", "_MIGRATE_COMPLETE")
    found = [item.value for item in completer.get_completions(["monitors", *before], typed)]
    assert sorted(found) == sorted(expected)
