from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from migrated.commands import cli
from migrated.commands.ssh import Words, is_quiet, take_apart
from migrated.terminal.advice import again
from migrated.terminal.requests import TerminalList, TerminalReport
from tests.migrated.terminal.rig import PATIENCE_S, Rig, run

OURS = {"--name", "--attach"}


def migrate(*words: str) -> Result:
    return CliRunner().invoke(cli, words, prog_name="migrate")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("host", Words([], [], ["host"])),
        ("-p 22 host ls -l", Words([], ["-p", "22"], ["host", "ls", "-l"])),
        ("-4p 22 --name x host", Words(["--name", "x"], ["-4p", "22"], ["host"])),
        ("-p22 --name=x host -t", Words(["--name=x"], ["-p22"], ["host", "-t"])),
        ("-v -o A=b --list me@host", Words(["--list"], ["-v", "-o", "A=b"], ["me@host"])),
        ("-F x -- host", Words([], ["-F", "x"], ["host"])),
        ("--attach", Words(["--attach"], [], [])),
    ],
)
def test_the_command_line_is_taken_apart(typed: str, expected: Words) -> None:
    assert take_apart(typed.split(), OURS) == expected


@pytest.mark.parametrize(
    ("typed", "quiet"),
    [
        ("-q", True),
        ("-4q -p 22", True),
        ("-v -q", True),
        ("", False),
        ("-p 22", False),
        ("-l q", False),
        ("-lq", False),
        ("-o -q", False),
        ("-4l -q -C", False),
    ],
)
def test_quiet_is_an_option_and_not_a_value(typed: str, quiet: bool) -> None:
    assert is_quiet(typed.split()) == quiet


def test_advice_can_be_typed_as_it_stands() -> None:
    typed = ["-p", "2222", "-o", "User=al ice", "--server", "env A=b migrate", "--attach", "otter", "build"]
    advised = again("build", typed[:6], "--attach", "otter")
    assert shlex.split(advised) == ["migrate", "ssh", *typed]


@pytest.mark.parametrize("option", ["-L", "-4N", "-vA", "-W"])
def test_options_that_need_the_connection_are_refused(option: str) -> None:
    with pytest.raises(click.UsageError, match=f"`-{option[-1]}` can't be used here"):
        take_apart([option, "x", "host"], OURS)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("ssh",), "Missing argument 'HOST'"),
        (("ssh", "--name", "a", "--attach", "b", "h"), "use only one of"),
        (("ssh", "--attach", "b", "h", "ls"), "a command can only be given for a new terminal"),
        (("ssh", "--expire", "soon", "h"), "`soon` is not a time up to 3650d"),
        (("ssh", "--expire", "0d", "h"), "`0d` is not a time"),
        (("ssh", "--nmae", "a", "h"), "No such option"),
        (("ssh", "--json", "h"), "`--json` is for `--list`"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], complaint: str) -> None:
    result = migrate(*words)
    assert result.exit_code == 2
    assert complaint in result.output


def test_a_terminal_is_needed() -> None:
    result = migrate("ssh", "h")
    assert result.exit_code == 255
    assert "must be a terminal" in result.output


def test_the_hidden_command_is_there_and_not_shown() -> None:
    assert "  terminal " not in migrate("--help").output
    assert "  ssh " in migrate("--help").output
    refused = CliRunner().invoke(cli, ["terminal", "serve"], input="")
    assert refused.exit_code == 0
    assert "no request came over standard input" in refused.output


def test_terminals_are_listed_and_killed_without_a_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            monkeypatch.setenv("MIGRATE_TERMINALS", str(rig.place.folder))
            monkeypatch.setattr("socket.gethostname", lambda: rig.place.host)
            monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "none"))
            await (await rig.person(name="otter", command="echo '#'; cat")).prompted()
            listed = await asyncio.to_thread(migrate, "sessions")
            assert listed.exit_code == 0
            header, line = listed.output.splitlines()
            assert header.split() == ["TERMINAL", "PROGRAM", "STATE", "SINCE"]
            assert line.startswith("otter")
            assert "echo '#'; cat" in line
            assert "attached" in line
            found = json.loads((await asyncio.to_thread(migrate, "sessions", "--json")).output)
            assert [(terminal["name"], terminal["state"]) for terminal in found] == [("otter", "attached")]
            wrong = await asyncio.to_thread(migrate, "kill", "oter")
            assert (wrong.exit_code, wrong.output) == (
                1,
                "Error: there is no terminal `oter`; did you mean `otter`?\n",
            )
            assert (await asyncio.to_thread(migrate, "kill", "otter")).exit_code == 0
            gone = await asyncio.to_thread(migrate, "sessions")
            assert gone.exit_code == 2
            assert "no daemon is running" in gone.output

    run(story)


def completions(*words: str) -> list[str]:
    completer = ShellComplete(cli, {}, "migrate", "_MIGRATE_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]


def test_names_of_terminals_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            monkeypatch.setenv("MIGRATE_TERMINALS", str(rig.place.folder))
            monkeypatch.setattr("socket.gethostname", lambda: rig.place.host)
            monkeypatch.setattr("migrated.commands.terminals._COMPLETION_TIMEOUT_S", PATIENCE_S)
            for name in ("otter", "owl"):
                await (await rig.person(name=name, command="echo '#'; cat")).prompted()
            for words in (
                ("kill",),
                ("ssh", "--attach"),
                ("ssh", "-p", "22", "--kill"),
                ("ssh", "-A", "--kill"),
            ):
                assert await asyncio.to_thread(completions, *words, "o") == ["otter", "owl"]
                assert await asyncio.to_thread(completions, *words, "ot") == ["otter"]
        assert completions("kill", "") == []

    run(story)


def test_terminals_of_another_host_are_listed_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    report = TerminalReport(name="otter", program="vi", pid=7, state="waiting", since=1.5, status=None)
    monkeypatch.setattr(
        "migrated.terminal.bootstrap.ask_far", lambda _far, _request: TerminalList(terminals=(report,))
    )
    listed = migrate("ssh", "--list", "--json", "h")
    assert listed.exit_code == 0
    (found,) = json.loads(listed.output)
    assert (found["name"], found["pid"], found["since"]) == ("otter", 7, 1.5)
