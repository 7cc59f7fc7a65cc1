"""`migrate policy diff` as people use it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from migrated.authoring.described import address_present, link_state
from migrated.commands.policy import policy as command
from migrated.recording.entries import encode_line
from tests.migrated.authoring.daemon import LoggingDaemon, described

OLD = """monitor-policy {
    score-interface eth* 10
    on port ssh user ann
        score-interface wlan0 20
}
"""


def diff(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, ["diff", *map(str, arguments)], catch_exceptions=False)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write(tmp_path / "old.policy", OLD)


def test_a_difference_names_session_links_decisions_and_lines(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new.policy", OLD.replace("wlan0 20", "wlan0 5"))
    result = diff(old, new)
    assert result.exit_code == 1
    assert result.output == (
        "1. port 22, user ann\n"
        "   links: eth0 in use, wlan0\n"
        f"   old: moves from eth0 to wlan0 ({old}:2, {old}:4)\n"
        f"   new: stays on eth0 ({new}:2, {new}:4)\n"
        "   the same lines decide 2 other cases differently too\n"
        "\n"
        "1 difference\n"
    )


def test_the_same_written_differently_is_no_difference(old: Path, tmp_path: Path) -> None:
    first = write(tmp_path / "1.policy", "monitor-policy { define WHO = ann score-interface eth* 10 }")
    text = "on user $WHO { on port 22 score-interface wlan0 20 }"
    second = write(tmp_path / "2.policy", f"monitor-policy {{ {text} }}")
    result = diff(old, first, "--new", second)
    assert (result.exit_code, result.output) == (0, "both policies decide everything alike\n")


def test_json_has_the_whole_example(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new.policy", OLD + "monitor-policy { on remote-ip 18.31.0.0/24 settle 9s }")
    result = diff("--json", old, new)
    found = json.loads(result.output)
    assert (result.exit_code, found["equal"]) == (1, False)
    (difference,) = found["differences"]
    assert difference["topic"] == "settle"
    assert difference["connections"][0]["remote_ip"] == "18.31.0.1"
    assert difference["new"]["spans"][0]["line"] == 6


def test_a_condition_is_told(old: Path, tmp_path: Path) -> None:
    new = write(
        tmp_path / "new.policy", OLD + "monitor-policy { when metered = yes score-interface * never }"
    )
    output = diff(old, new).output
    assert "   while metered = yes on eth0\n" in output


def test_two_connections_where_it_takes_two(tmp_path: Path) -> None:
    body = ["on port 1 resume lazy", "on port 2 resume eager"]
    old, new = (
        write(tmp_path / name, f"monitor-policy {{ {' '.join(lines)} }}")
        for name, lines in (("old.policy", body), ("new.policy", body[::-1]))
    )
    result = diff(old, new)
    assert result.exit_code == 1
    assert "a session with 2 connections: port 2; port 1" in result.output


def test_a_folder_is_its_policy_files_by_name(old: Path, tmp_path: Path) -> None:
    folder = tmp_path / "policy.d"
    folder.mkdir()
    write(folder / "1.policy", OLD)
    write(folder / "2.policy", "monitor-policy { migrate never }")
    write(folder / "notes.txt", "not a policy")
    result = diff(old, folder)
    assert result.exit_code == 1
    assert f"new: is never moved ({folder}/2.policy:1)" in result.output


def test_a_configuration_says_which_files_are_a_users(tmp_path: Path) -> None:
    host = write(tmp_path / "host.policy", "monitor-policy { expire after 1h }")
    mine = write(tmp_path / "mine.policy", "monitor-policy { expire after 2h }")
    both = write(tmp_path / "both.toml", 'policy = ["host.policy"]\nuser_policy = ["mine.policy"]\n')
    assert diff(host, host, "--new", mine).exit_code == 1  # as a file of the host it has the last word
    assert diff(host, both).exit_code == 0
    wrong = diff(host, write(tmp_path / "wrong.toml", "polcy = []"))
    assert wrong.exit_code == 2
    assert "did you mean `policy`?" in wrong.output


def test_installed_is_the_policy_of_this_host(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = write(tmp_path / "migrated.toml", f'policy = ["{old}"]\n')
    monkeypatch.setattr("migrated.config.default_file", lambda: configuration)
    assert diff("installed", old).exit_code == 0
    monkeypatch.setenv("MIGRATE_CONFIG", str(write(tmp_path / "other.toml", "policy = []\n")))
    assert diff("installed", old).exit_code == 1


def test_what_is_not_shown_is_counted(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new.policy", OLD + "monitor-policy { adopt resume lazy ignore }")
    output = diff("--most", "1", old, new).output
    assert output.endswith("3 differences; 2 of them are not shown (`--most`)\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("monitor-policy { on port sssh migrate never }", "`sssh` is neither a port nor a known service"),
        (None, "cannot read this file: no such file or directory"),
    ],
)
def test_what_can_not_be_compared(old: Path, tmp_path: Path, text: str | None, said: str) -> None:
    new = tmp_path / "new.policy"
    if text is not None:
        write(new, text)
    result = diff(old, new)
    assert result.exit_code == 2
    assert said in result.output


def test_an_empty_folder_is_no_policy(old: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    result = diff(old, folder)
    assert result.exit_code == 2
    assert f"there is no file `*.policy` in the folder `{folder}`" in result.output


def test_too_many_kinds_of_sessions_are_said_not_guessed(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        from engine.difference import TooComplexError

        raise TooComplexError("more than 3 kinds of sessions would have to be compared")

    monkeypatch.setattr("engine.difference.compare", refuse)
    result = diff(old, old)
    assert result.exit_code == 2
    assert "can't be compared exactly: more than 3 kinds" in result.output


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log in which a better link comes up after 100 s."""
    daemon = LoggingDaemon(OLD)
    for index, (name, address) in enumerate({"wlan0": "10.1.0.5", "eth0": "10.0.0.5"}.items(), 1):
        daemon.event(link_state(name, index, up=True))
        daemon.event(address_present(name, index, address))
        if name == "wlan0":
            daemon.open(described("web", "10.1.0.5", 80), ("wlan0", "10.1.0.5"))
            daemon.advance(100.0)
    daemon.advance(200.0)
    daemon.event(link_state("wlan0", 1, up=False))
    path = tmp_path / "events.log"
    path.write_bytes(b"".join(encode_line(entry) + b"\n" for entry in daemon.entries))
    return path


def test_over_a_log_decisions_that_only_one_gives_are_printed(old: Path, tmp_path: Path, log: Path) -> None:
    new = write(tmp_path / "new.policy", OLD + "monitor-policy { settle 5s }")
    result = diff(old, new, "--log", log)
    assert result.exit_code == 1
    marks = [line[0] for line in result.output.splitlines() if line[0] in "+-"]
    assert marks == ["-", "+"]
    assert result.output.count("web  move to eth0") == 2
    found = json.loads(diff(old, new, "--log", log, "--json").output)
    times = [row["decision"]["wall"] for row in found["decisions"]]
    assert times[1] - times[0] == pytest.approx(3.0)


def test_over_a_log_policies_may_be_alike_that_are_not(old: Path, tmp_path: Path, log: Path) -> None:
    new = write(tmp_path / "new.policy", OLD.replace("wlan0 20", "wlan0 5"))
    result = diff(old, new, "--log", log.parent)
    assert (result.exit_code, diff(old, new).exit_code) == (0, 1)
    assert result.output == "both policies decide alike over the log: 1 decision\n"


def test_the_word_installed_is_completed() -> None:
    from migrated.commands.policy_diff import diff as diff_command

    parameter = diff_command.params[0]
    context = click.Context(diff_command)
    assert [item.value for item in parameter.shell_complete(context, "ins")] == ["installed", "ins"]
    assert [item.type for item in parameter.shell_complete(context, "o")] == ["file"]
