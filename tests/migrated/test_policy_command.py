from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrated.commands import cli

ROOT = Path(__file__).parents[2]
FIGURE_10 = str(ROOT / "examples" / "figure10.policy")


def migrate(*arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(cli, arguments, input=stdin, prog_name="migrate")


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.policy"
    path.write_text("monitor-policy {\n    migrate nver\n}\n")
    return str(path)


def test_a_policy_that_is_fine() -> None:
    result = migrate("policy", "check", FIGURE_10)
    assert (result.exit_code, result.output) == (0, "1 file checked: no problems\n")


def test_a_policy_with_a_mistake(bad: str) -> None:
    result = migrate("policy", "check", FIGURE_10, bad)
    assert result.exit_code == 1
    assert f"{bad}:2:13: error: expected `always` or `never`, found `nver`" in result.output
    assert "did you mean `never`?" in result.output
    assert result.output.endswith("2 files checked: 1 error\n")


def test_files_are_judged_by_themselves_or_together(tmp_path: Path) -> None:
    first, second = tmp_path / "10.policy", tmp_path / "20.policy"
    first.write_text("define STAFF = ann, bob\n")
    second.write_text("monitor-policy { on user $STAFF adopt }\n")
    alone = migrate("policy", "check", str(first), str(second))
    assert alone.exit_code == 1
    assert "the set `$STAFF` is not defined" in alone.output
    assert migrate("policy", "check", "--together", str(first), str(second)).exit_code == 0
    assert migrate("policy", "check", "--together", str(second), str(first)).exit_code == 1
    refused = migrate("policy", "check", "--together", str(first), "-")
    assert refused.exit_code == 2
    assert "it can't read the standard input" in refused.output


def test_json_has_a_short_form(bad: str) -> None:
    for command in ("check", "lint"):
        short, long = (migrate("policy", command, *form, bad) for form in (("--json",), ("--format", "json")))
        assert (short.exit_code, short.output) == (long.exit_code, long.output)
        assert json.loads(short.output)["ok"] is False


def test_a_file_that_cannot_be_read_outranks_errors(bad: str, tmp_path: Path) -> None:
    result = migrate("policy", "check", bad, str(tmp_path / "missing"))
    assert result.exit_code == 2
    assert "cannot read this file" in result.output


@pytest.mark.parametrize("command", [("check",), ("explain", "--session", "tcp 10.0.0.5:1 -> 10.0.0.9:22")])
def test_a_file_without_permission_is_answered_in_our_words(
    bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    secret = tmp_path / "secret.policy"
    secret.write_text("monitor-policy { adopt }")

    def refuse(path: Path, flags: int) -> int:
        if path == secret:
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_(path, flags)

    # The tests may run as root, whom the mode of a file does not stop.
    open_ = os.open
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    result = migrate(
        "policy", *command, *(["--link", "a=10.0.0.5"] * (command[0] == "explain")), str(secret), bad
    )
    assert result.exit_code == 2
    assert f"{secret}: error: cannot read this file: permission denied [unreadable]" in result.output
    assert f"{bad}:2:13: error:" in result.output


def test_a_warning_is_no_failure() -> None:
    result = migrate("policy", "check", "-", stdin="monitor-policy { }")
    assert result.exit_code == 0
    assert "1 warning" in result.output


def test_standard_input(bad: str) -> None:
    result = migrate("policy", "check", "-", stdin=Path(bad).read_text())
    assert result.exit_code == 1
    assert "<stdin>:2:13" in result.output
    assert migrate("policy", "check", "-", stdin=b"\0" * 10_000_000).exit_code == 1


def test_json(bad: str) -> None:
    result = migrate("policy", "check", "--format", "json", bad)
    answer = json.loads(result.output)
    assert (result.exit_code, answer["ok"], answer["files"]) == (1, False, [bad])
    assert [(d["line"], d["column"]) for d in answer["diagnostics"]] == [(2, 13)]
    assert json.loads(migrate("policy", "check", "--format", "json", FIGURE_10).output)["ok"] is True


def test_github_annotations(bad: str) -> None:
    result = migrate("policy", "check", "--format", "github", bad)
    assert result.output.startswith(f"::error file={bad},line=2,col=13,")


@pytest.mark.parametrize(
    "arguments", [["policy", "check"], ["policy", "check", "--format", "xml", "a"], ["--what"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = migrate(*arguments)
    assert result.exit_code == 2
    assert "Usage: migrate" in result.output


@pytest.mark.parametrize(("arguments", "guess"), [(["polcy"], "policy"), (["policy", "chek"], "check")])
def test_a_misspelt_command(arguments: list[str], guess: str) -> None:
    result = migrate(*arguments)
    assert result.exit_code == 2
    assert f"Error: there is no command `{arguments[-1]}`; did you mean `{guess}`?" in result.output


def test_help_names_every_command_and_gives_examples() -> None:
    assert "completion" in migrate("--help").output
    listing = migrate("policy", "--help").output
    assert all(name in listing for name in ("check", "explain", "show"))
    assert not any(line.endswith("...") for line in listing.splitlines()[1:])
    assert "migrate policy check examples/figure10.policy" in migrate("policy", "check", "--help").output


def test_version() -> None:
    assert migrate("--version").output.startswith("migrate, version ")


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_completion_scripts(shell: str) -> None:
    result = migrate("completion", shell)
    assert result.exit_code == 0
    assert "_MIGRATE_COMPLETE" in result.output


def modules_after(*arguments: str) -> set[str]:
    """Return the modules that a new interpreter has imported when the command ends."""
    script = (
        "import sys\n"
        "from migrated.commands import cli\n"
        f"cli.main({list(arguments)!r}, standalone_mode=False)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split())


def test_check_imports_nothing_heavy() -> None:
    imported = modules_after("policy", "check", FIGURE_10)
    assert "lark" in imported
    assert not imported & {
        "pyroute2",
        "cryptography",
        "rich",
        "pluggy",
        "asyncio",
        "msgspec",
        "engine",
        "sessionlayer",
    }


def test_help_and_completion_import_no_command() -> None:
    imported = modules_after("--help")
    assert "migrated.commands" in imported
    assert not {name for name in imported if name.startswith("migrated.commands.")} - {
        "migrated.commands.lazy"
    }


def test_shell_completion_of_commands_and_options() -> None:
    def complete(words: str) -> str:
        position = str(len(words.split(" ")) - 1)
        env = {"_MIGRATE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": position}
        return CliRunner().invoke(cli, [], env=env, prog_name="migrate").output

    assert "plain,policy" in complete("migrate po")
    assert "plain,check" in complete("migrate policy ch")
    assert "plain,--format" in complete("migrate policy check --f")
