from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from migrated.commands import cli
from migrated.control.messages import KeepAlive
from tests.migrated.control_fakes import PATIENCE_S, RunningServer, running_server

FIRST = "aa11" + "0" * 28
SECOND = "ab22" + "0" * 28


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    with tempfile.TemporaryDirectory(prefix="mig") as folder:
        path = Path(folder) / "control.sock"
        monkeypatch.setenv("MIGRATE_SOCKET", str(path))
        monkeypatch.setattr("migrated.commands.client._COMPLETION_TIMEOUT_S", PATIENCE_S)
        with running_server(path, {FIRST: os.getuid(), SECOND: os.getuid() + 1}) as server:
            yield server


def health(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ("health", *arguments), prog_name="migrate")


def test_well(running: RunningServer) -> None:
    result = health("aa", "well")
    assert (result.exit_code, result.output) == (0, f"session {FIRST} is well\n")
    assert running.handler.kept_alive == [KeepAlive(session="aa", healthy=True)]


def test_unwell_with_a_reason(running: RunningServer) -> None:
    result = health("aa", "unwell", "--reason", "no picture")
    assert (result.exit_code, result.output) == (0, f"session {FIRST} is unwell\n")
    assert running.handler.kept_alive == [KeepAlive(session="aa", healthy=False, reason="no picture")]


def test_a_session_that_is_not_there(running: RunningServer) -> None:
    result = health("zz", "well")
    assert result.exit_code == 1
    assert "there is no session `zz`" in result.output
    assert running.handler.kept_alive == []


@pytest.mark.parametrize("arguments", [("aa",), ("aa", "wel"), ("aa", "--well"), ()])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert health(*arguments).exit_code == 2


def test_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "control.sock"))
    assert health("aa", "well").exit_code == 2


@pytest.mark.usefixtures("running")
def test_completion() -> None:
    completion = ShellComplete(cli, {}, "migrate", "_MIGRATE_COMPLETE")
    assert FIRST.startswith(completion.get_completions(["health"], "a")[0].value)
    assert [item.value for item in completion.get_completions(["health", "aa"], "u")] == ["unwell"]


def test_help_has_examples() -> None:
    assert 'migrate health 3fa9c1 unwell --reason "no picture for 3 s"' in health("--help").output
