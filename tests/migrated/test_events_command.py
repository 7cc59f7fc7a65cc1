"""`migrate events`: the latest, and those that follow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from migrated.commands import cli
from migrated.commands.client import moment
from migrated.control.messages import MISSED, EventReport
from migrated.control.observations import Events
from tests.migrated.control_fakes import EVENTS, PATIENCE_S, RunningServer, running_server
from tests.processes import interrupted, killed_at_last

LATER = EventReport(time=2e9, event="link-gone", fields={"monitor": "carrier", "text": "eth0 is gone"})


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunningServer]:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "s"))
    monkeypatch.setattr("migrated.commands.client._COMPLETION_TIMEOUT_S", PATIENCE_S)
    with running_server(tmp_path / "s", {"aa11": os.getuid()}) as server:
        yield server


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["events", *arguments], prog_name="migrate")


def following(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from migrated.commands import main; main()", "events", "-f", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_latest_events_are_lines_with_time_and_monitor(running: RunningServer) -> None:
    result = migrate("-n", "2", "--monitor", "carrier", "--monitor", "probe")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{moment(1.5e9)}  carrier     eth0 is up",
        f"{moment(1.5e9 + 1)}  probe       rtt wlan0 = 0.031 s\\x1b[2J",
    ]
    assert running.handler.events_asked == [Events(count=2, monitors=("carrier", "probe"))]


def test_json_has_an_object_in_each_line(running: RunningServer) -> None:
    found = [json.loads(line) for line in migrate("--json").output.splitlines()]
    assert [(row["time"], row["event"], row["fields"]) for row in found] == [
        (event.time, event.event, event.fields) for event in EVENTS
    ]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_following_goes_on_with_what_comes(running: RunningServer, options: tuple[str, ...]) -> None:
    with killed_at_last(following("-n", "5", *options)) as process:
        assert running.handler.watched.wait(PATIENCE_S)
        running.publish(LATER)
        running.publish(EventReport(time=2e9, event=MISSED, fields={"count": 7}))
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        assert interrupted(process) == 0
    assert running.handler.events_asked == [Events(count=5, follow=True)]
    if options:
        assert json.loads(lines[2])["fields"] == LATER.fields
    else:
        assert lines[2].endswith("  carrier     eth0 is gone\n")
        assert lines[3].endswith("  7 events missed: more came than were read\n")


def test_following_ends_with_the_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "s"))
    with running_server(tmp_path / "s", {}) as running:
        process = following()
        assert running.handler.watched.wait(PATIENCE_S)
    with killed_at_last(process):
        _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "the daemon closed the connection" in error


@pytest.mark.parametrize("options", [(), ("--follow",)])
def test_without_a_daemon_the_status_is_2(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = migrate(*options, "--socket", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "no daemon is running" in result.stderr


def test_monitors_are_completed(running: RunningServer) -> None:
    completer = ShellComplete(cli, {}, "migrate", "_MIGRATE_COMPLETE")
    found = completer.get_completions(["events", "--monitor"], "p")
    assert [item.value for item in found] == ["power"]


def test_help_has_examples() -> None:
    assert "Examples:\n    migrate events\n" in migrate("--help").output
