from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from msgspec.structs import replace

from migrated.commands import cli
from migrated.control.continuations import AttributeReport, ShowContinuation
from tests.migrated import control_fakes
from tests.migrated.control_fakes import CONTINUATION, RunningServer, running_server

FIRST = CONTINUATION.summary.session


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    with tempfile.TemporaryDirectory(prefix="mig") as folder:
        path = Path(folder) / "control.sock"
        monkeypatch.setenv("MIGRATE_SOCKET", str(path))
        with running_server(path, {FIRST: os.getuid()}) as server:
            yield server


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["continuations", *arguments], prog_name="migrate")


def lines(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.output.splitlines()]


def test_list(running: RunningServer) -> None:
    header, first, altered = lines(migrate("list"))
    assert header == ["SESSION", "PROGRAM", "USER", "KIND", "SIZE", "AGE", "EXPIRES"]
    assert first[:6] == ["aa1100", "counter", "me", "complete", "2.0", "KiB"]
    assert first[-3] == "in"
    assert altered == ["ab2200", "altered"]


def test_nothing_to_list(running: RunningServer) -> None:
    running.handler.continuations = ()
    assert migrate("list").output == "no continuations\n"
    assert json.loads(migrate("list", "--json").output) == []


def test_one_that_never_expires(running: RunningServer) -> None:
    running.handler.continuations = (replace(CONTINUATION.summary, expires_at=None, size=100),)
    _, row = lines(migrate("list"))
    assert row[-1] == "never"
    assert row[4:6] == ["100", "B"]


def test_show(running: RunningServer) -> None:
    result = migrate("show", "aa")
    assert running.handler.shown == [ShowContinuation(session="aa")]
    shown = [line.split(maxsplit=1) for line in result.output.splitlines() if ":" in line[:14]]
    output = result.output
    assert shown[0] == ["session:", FIRST]
    for line in (
        "program:       counter of me",
        "kind:          complete, 2.0 KiB",
        "command line:  counter '--resume it'",
        "directory:     /srv",
        "variable:      HOME",
        "descriptor:    connection",
        "attribute:     index (2 B, exported)",
        "needs:         lib libssl 3.0.17",
        "differs:       lib `libssl` is missing: `3.0.17` is required",
    ):
        assert f"{line}\n" in output
    assert ", and its program is told\n" in output
    assert "goes on in" not in output


def test_values_are_shown_only_when_asked_for(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    attribute = AttributeReport(name="index", size=2, exported=False, value=b"\x1b7")
    monkeypatch.setattr(control_fakes, "CONTINUATION", replace(CONTINUATION, attributes=(attribute,)))
    result = migrate("show", "aa", "--values")
    assert running.handler.shown == [ShowContinuation(session="aa", values=True)]
    assert "attribute:     index (2 B) = b'\\x1b7'\n" in result.output.replace("\\\\", "\\")


def test_json(running: RunningServer) -> None:
    found = json.loads(migrate("list", "--json").output)
    assert found == json.loads(msgspec.json.encode(running.handler.continuations))
    assert json.loads(migrate("show", "aa", "--json").output)["descriptors"] == ["connection", "log"]


def test_expire(running: RunningServer) -> None:
    result = migrate("expire", "aa")
    assert (result.exit_code, result.output) == (0, "session aa is given up\n")


def test_summaries_of_the_commands_are_whole() -> None:
    summaries = migrate("--help").output.partition("Commands:\n")[2].splitlines()
    assert len(summaries) == 3
    assert all(line.endswith(".") and not line.endswith("...") for line in summaries)


@pytest.mark.parametrize("command", [("list",), ("show", "aa"), ("expire", "aa")], ids=" ".join)
def test_help_has_an_example_and_without_a_daemon_the_status_is_2(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert f"Examples:\n    migrate continuations {command[0]}" in migrate(*command, "--help").output
    result = migrate(*command, "--socket", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "no daemon is running" in result.output


@pytest.mark.parametrize("command", ["show", "expire"])
def test_completion_asks_the_daemon(running: RunningServer, command: str) -> None:
    completer = ShellComplete(cli, {}, "migrate", "_MIGRATE_COMPLETE")

    def completions(incomplete: str) -> list[str]:
        found = completer.get_completions(["continuations", command], incomplete)
        return [item.value for item in found]

    assert completions("") == ["aa1100", "ab2200"]
    assert completions("ab") == ["ab2200"]
    assert completions(FIRST[:9]) == [FIRST[:9]]
