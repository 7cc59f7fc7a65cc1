from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from migrated.commands import cli
from migrated.commands.client import SHORTEST_ID, age, duration, short_ids
from migrated.control.messages import EventReport, Move
from tests.migrated import control_fakes
from tests.migrated.control_fakes import LINKS, PATIENCE_S, POLICY, STATUS, RunningServer, running_server
from tests.processes import interrupted, killed_at_last

FIRST = "aa11" + "0" * 28
SECOND = "ab22" + "0" * 28
COMMANDS = [
    ("status",),
    ("sessions",),
    ("links",),
    ("move", "aa", "eth1"),
    ("policy", "show"),
    ("watch",),
]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    with tempfile.TemporaryDirectory(prefix="mig") as folder:
        path = Path(folder) / "control.sock"
        monkeypatch.setenv("MIGRATE_SOCKET", str(path))
        monkeypatch.setattr("migrated.commands.client._COMPLETION_TIMEOUT_S", PATIENCE_S)
        with running_server(path, {FIRST: os.getuid(), SECOND: os.getuid()}) as server:
            yield server


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="migrate")


def table(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.output.splitlines()]


def test_status(running: RunningServer) -> None:
    result = migrate("status")
    assert result.exit_code == 0
    for words in ("migrated 1.2, process 4711, up for 1 h", "6447", "SHA256:x", "generation 3"):
        assert words in result.output
    assert "not in force: a.policy:1:1: error" in result.output
    assert ["b.net", "10.0.0.2", "SHA256:y", "heard,", "silent", "7", "3"] in table(result)
    assert "monitors     1 run, 1 not available, 1 failed: weather; see `migrate monitors`\n" in result.output


def test_sessions(running: RunningServer) -> None:
    header, first, second = table(migrate("sessions"))
    assert header == ["ID", "PEER", "PROGRAM", "LINK", "STATE", "SINCE", "MOVES"]
    assert first[:6] == ["aa1100", "18.31.0.9", "ssh", "(99)", "eth0", "live"]
    assert first[-2:] == ["d", "2"]
    assert second[0] == "ab2200"


def test_no_sessions(running: RunningServer) -> None:
    running.handler.owners.clear()
    assert migrate("sessions").output == "no sessions\n"
    assert json.loads(migrate("sessions", "--json").output) == []


def test_links_come_best_first_and_say_why(running: RunningServer) -> None:
    header, *rows = table(migrate("links"))
    assert header == ["LINK", "ADDRESS", "SCORE", "USABLE", "BY"]
    assert [row[0] for row in rows] == ["eth1", "ppp0", "eth0"]
    assert rows[0] == ["eth1", "10.1.0.5", "10", "yes", "a.policy:3"]
    assert rows[2] == ["eth0", "10.0.0.5", "10", "no:", "no", "carrier", "a.policy:3"]


def test_a_link_that_is_ruled_out_has_no_score_and_comes_after_those_that_have(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    barred = msgspec.structs.replace(LINKS[2], name="wlan0", ruled_out=True, statement="a.policy:5")
    monkeypatch.setattr(control_fakes, "LINKS", (barred, *LINKS))
    _, *rows = table(migrate("links"))
    assert [row[0] for row in rows] == ["eth1", "ppp0", "wlan0", "eth0"]
    assert rows[2] == ["wlan0", "10.1.0.5", "never", "yes", "a.policy:5"]


def test_move(running: RunningServer) -> None:
    result = migrate("move", "aa", "eth1")
    assert (result.exit_code, result.output) == (0, f"session {FIRST} begins to move\n")
    assert running.handler.moved == [Move(session="aa", link="eth1")]


def test_a_refusal_has_status_1(running: RunningServer) -> None:
    result = migrate("move", "a", "eth1")
    assert result.exit_code == 1
    assert "Error: `a` means 2 sessions" in result.output


def test_policy_show(running: RunningServer) -> None:
    result = migrate("policy", "show")
    assert result.exit_code == 0
    assert result.stdout.startswith("# generation 3, loaded 2017-")
    assert "\n# default.policy (default)\n# defaults\n" in result.stdout
    assert "\n# a.policy (system)\nmonitor-policy {\n\tadopt\n}\n" in result.stdout
    assert result.stdout.endswith("\n# c.policy (user, included by a.policy:7)\n\n")
    assert result.stderr.startswith("the files on disk are not in force, since 2020-")
    assert result.stderr.endswith(": b.policy:1:1: error: no\n")


def test_policy_show_of_a_layer(running: RunningServer) -> None:
    result = migrate("policy", "show", "--layer", "user", "--layer", "default")
    assert "(default)" in result.stdout
    assert "(user, " in result.stdout
    assert "(system)" not in result.stdout
    shown = json.loads(migrate("policy", "show", "--layer", "system", "--json").stdout)
    assert [file["file"] for file in shown["files"]] == ["a.policy"]


def test_policy_show_tells_whether_the_files_on_disk_are_in_force(running: RunningServer) -> None:
    result = migrate("policy", "show", "--check")
    assert result.exit_code == 1
    assert "(system)" not in result.stdout
    assert "b.policy:1:1: error: no" in result.stderr


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("status",), msgspec.to_builtins(STATUS)),
        (("links",), msgspec.to_builtins(LINKS)),
        (("policy", "show"), msgspec.to_builtins(POLICY)),
    ],
)
def test_json(running: RunningServer, command: tuple[str, ...], expected: object) -> None:
    result = migrate(*command, "--json")
    assert json.loads(result.stdout) == json.loads(json.dumps(expected))


def test_sessions_as_json(running: RunningServer) -> None:
    found = json.loads(migrate("sessions", "--json").output)
    assert [session["id"] for session in found] == [FIRST, SECOND]


def watching(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from migrated.commands import main; main()", "watch", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_watch(running: RunningServer) -> None:
    event = EventReport(time=1.5e9, event="moved", fields={"to": "eth1", "because": ["better\x1b[2J"]})
    for options in ((), ("--json",)):
        running.handler.watched.clear()
        with killed_at_last(watching(*options)) as process:
            assert running.handler.watched.wait(PATIENCE_S)
            running.publish(event)
            assert process.stdout is not None
            line = process.stdout.readline()
            assert interrupted(process) == 0
        if options:
            assert json.loads(line)["fields"] == event.fields
        else:
            assert line.endswith('  moved to=eth1 because=["better\\u001b[2J"]\n')


def test_watch_says_so_when_the_daemon_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "s"
    monkeypatch.setenv("MIGRATE_SOCKET", str(path))
    with running_server(path, {}) as running:
        process = watching()
        assert running.handler.watched.wait(PATIENCE_S)
    with killed_at_last(process):
        _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "the daemon closed the connection" in error


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_daemon_the_status_is_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = migrate(*command, "--socket", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert f"no daemon is running at {tmp_path}/none; start `migrated`" in result.output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    result = migrate(*command, "--help")
    words = [word for word in command if word.islower() and word not in ("aa", "eth1")]
    assert f"Examples:\n    migrate {' '.join(words)}" in result.output


def test_the_socket_of_the_configuration_is_found(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MIGRATE_SOCKET")
    file = tmp_path / "c.toml"
    file.write_text(f'runtime_folder = "{running.path.parent}"')
    monkeypatch.setenv("MIGRATE_CONFIG", str(file))
    assert migrate("status").exit_code == 0
    file.write_text("runtime_foldr = 1")
    result = migrate("status")
    assert result.exit_code == 2
    assert "did you mean `runtime_folder`?" in result.output


def completions(arguments: list[str], incomplete: str) -> list[str]:
    completer = ShellComplete(cli, {}, "migrate", "_MIGRATE_COMPLETE")
    return [item.value for item in completer.get_completions(arguments, incomplete)]


def test_completion_asks_the_daemon(running: RunningServer) -> None:
    assert completions(["move"], "") == ["aa1100", "ab2200"]
    assert completions(["move"], "ab") == ["ab2200"]
    assert completions(["move"], SECOND[:8]) == [SECOND[:8]]
    assert completions(["move", "ab"], "eth") == ["eth0", "eth1"]
    other = str(running.path.with_name("none"))
    assert completions(["move", "--socket", other], "") == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("migrate move ", ["aa1100", "ab2200"]),
        ("migrate move ab", ["ab2200"]),
        ("migrate move ab ", ["ppp0", "eth0", "eth1"]),
    ],
)
def test_tab_in_a_shell_asks_the_daemon(running: RunningServer, words: str, expected: list[str]) -> None:
    env = {
        "_MIGRATE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    output = CliRunner().invoke(cli, [], env=env, prog_name="migrate").output
    assert output.splitlines() == [f"plain,{word}" for word in expected]


def test_what_others_wrote_cannot_steer_the_terminal(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.migrated import control_fakes

    evil = control_fakes.a_session(FIRST, program="[red]x\x1b[2J\n")
    monkeypatch.setattr(control_fakes, "a_session", lambda _: evil)
    result = migrate("sessions")
    assert r"[red]x\x1b[2J\n (99)" in result.output


@given(st.sets(st.text("01", min_size=SHORTEST_ID + 4, max_size=SHORTEST_ID + 4), max_size=20))
def test_short_ids_tell_sessions_apart(ids: set[str]) -> None:
    short = short_ids(sorted(ids))
    assert set(short) == ids
    assert len(set(short.values())) == len(ids)
    assert all(id_.startswith(beginning) for id_, beginning in short.items())


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "0 s"), (0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (200_000, "2 d")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_an_age_is_measured_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert age(880.0) == "2 min"
