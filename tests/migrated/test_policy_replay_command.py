"""`migrate policy replay`, run as a person runs it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrated.authoring.described import address_present, link_state
from migrated.commands import cli
from migrated.recording.entries import Entry, encode_line
from tests.migrated.authoring.daemon import EPOCH, LoggingDaemon, described

TEXT = "monitor-policy { score-interface eth* 100 score-interface wlan* 50 }"


def _log() -> tuple[list[Entry], int]:
    """Return a log of two files, and where the second begins."""
    daemon = LoggingDaemon(TEXT)
    for index, (name, address) in enumerate((("eth0", "10.0.0.5"), ("wlan0", "10.1.0.5")), 1):
        daemon.event(link_state(name, index, up=True))
        daemon.event(address_present(name, index, address))
    daemon.open(described("00aa", "10.0.0.5"), ("eth0", "10.0.0.5"))
    daemon.open(described("00bb", "10.0.0.5"), ("eth0", "10.0.0.5"))
    daemon.advance(200.0)
    daemon.event(link_state("eth0", 1, up=False))
    daemon.advance(250.0)
    second = daemon.rotate()
    daemon.advance(300.0)
    daemon.event(link_state("eth0", 1, up=True))
    daemon.advance(400.0)
    daemon.event(link_state("eth0", 1, up=True))
    return daemon.entries, second


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    entries, second = _log()
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / "events-1.jsonl").write_bytes(b"".join(map(encode_line, entries[:second])))
    (folder / "events-2.jsonl").write_bytes(b"".join(map(encode_line, entries[second:])))
    (folder / "README").write_text("not a log")
    (tmp_path / "other.policy").write_text(TEXT.replace("50", "500"))
    return folder


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["policy", "replay", *arguments])


def test_what_was_decided_is_decided(log: Path) -> None:
    result = _run("events")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    at = datetime.fromtimestamp(EPOCH + 200.0).astimezone().strftime("%Y-%m-%d %H:%M:%S.000")
    assert lines[0] == f"= {at}  00aa  move to wlan0"
    assert any(line.startswith("      because `wlan0` scores 50 (/etc/log.policy:1)") for line in lines)
    assert lines[-1] == "4 decided then and now (=), 0 only now (+), 0 only then (-)"


def test_another_policy_decides_otherwise(log: Path) -> None:
    result = _run("--policy", "other.policy", "--session", "00a", "events")
    assert result.exit_code == 1
    heads = [line.split() for line in result.output.splitlines() if not line.startswith(" ")]
    assert [(words[0], words[3], words[-1]) for words in heads[:-1]] == [
        ("+", "00aa", "wlan0"),
        ("-", "00aa", "wlan0"),
        ("-", "00aa", "eth0"),
    ]


def test_the_policy_may_be_that_of_a_configuration(log: Path, tmp_path: Path) -> None:
    """A user's file, which the configuration names first, wins over the host's."""
    (tmp_path / "host.policy").write_text(TEXT)
    text = 'user_policy = ["other.policy"]\npolicy = ["host.policy"]\napplication_policy = []\n'
    (tmp_path / "migrated.toml").write_text(text)
    arguments = ("--session", "00a", "events")
    of_layers = _run("--policy", "migrated.toml", *arguments)
    assert (of_layers.exit_code, of_layers.output.count("+ ")) == (1, 1)
    assert _run("--policy", "other.policy", "--policy", "host.policy", *arguments).exit_code == 0


def test_a_session_without_a_decision_is_known(log: Path) -> None:
    begun = datetime.fromtimestamp(EPOCH + 100.0).astimezone().isoformat()
    result = _run("events", "--until", begun, "--session", "00a")
    assert (result.exit_code, result.output[:2]) == (0, "0 ")


def test_parts_may_be_named_in_any_order(log: Path) -> None:
    result = _run("events/events-2.jsonl", "events/events-1.jsonl")
    assert (result.exit_code, result.output) == (0, _run("events").output)


def test_times_limit_what_is_printed(log: Path) -> None:
    middle = datetime.fromtimestamp(EPOCH + 250.0).astimezone().isoformat()
    late = _run("events", "--since", middle)
    assert late.output.splitlines()[-1].startswith("2 decided then and now")
    assert late.output.splitlines()[0].endswith("move to eth0")
    early = _run("events", "--until", middle)
    assert early.output.splitlines()[-1].startswith("2 decided then and now")
    assert _run("events", "--since", "1h").output.startswith("0 decided then and now")
    refused = _run("events", "--since", "yesterday")
    assert refused.exit_code == 2
    assert (
        "`yesterday` is neither a time such as `2026-11-22T12:00` nor a duration such as `2h`"
        in refused.output
    )


def test_changes_leave_out_what_is_the_same(log: Path) -> None:
    assert _run("events", "--changes").output == "0 only now (+), 0 only then (-)\n"


def test_json_is_one_object_per_line(log: Path) -> None:
    rows = [json.loads(line) for line in _run("--json", "events").stdout.splitlines()]
    assert [(row["mark"], row["clock"], row["session"], row["to"]) for row in rows[:2]] == [
        ("=", 200.0, "00aa", ["wlan0", "10.1.0.5"]),
        ("=", 200.0, "00bb", ["wlan0", "10.1.0.5"]),
    ]
    assert len(rows) == 4


def test_bad_lines_are_left_out_and_told(log: Path) -> None:
    path = log / "events-2.jsonl"
    path.write_bytes(path.read_bytes() + b'garbage\n{"type":"mov')
    result = _run("events")
    assert result.exit_code == 0
    assert "events-2.jsonl:" in result.stderr
    assert "left out: `garbage` is not JSON; was the line cut off?" in result.stderr
    assert "garbage" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("garbage",), "there is no line of an event log in it"),
        (("empty",), "there is no file `*.jsonl` in `empty`"),
        (("events", "--policy", "none.policy"), "none.policy: error"),
        (("events", "--policy", "bad.policy"), "bad.policy:1:18"),
        (("events", "--policy", "mad.policy"), "to and fro without end"),
        (("events", "--policy", "events"), "there is no file `*.policy` in the folder `events`"),
        (("events", "--policy", "none.toml"), "none.toml"),
        (("events", "--session", "zz"), "there is no session `zz` in the log"),
        (("garbage", "--session", "zz"), "there is no line of an event log in it"),
    ],
)
def test_what_can_not_be_replayed_is_told(log: Path, arguments: tuple[str, ...], message: str) -> None:
    Path("garbage").write_text("garbage\n")
    Path("empty").mkdir()
    Path("bad.policy").write_text("monitor-policy { scor * 1 }")
    Path("mad.policy").write_text("monitor-policy { score-interface current -10 settle 0s }")
    result = _run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_log_of_the_configuration_is_the_default(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "migrate.toml"
    configuration.write_text(f'state_folder = "{tmp_path}"\n')
    monkeypatch.setenv("MIGRATE_CONFIG", str(configuration))
    assert _run().output == _run("events").output
