"""`migrate policy lint`: what is printed, which rules are used, and the exit status."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from migrated.commands import cli, policy_lint
from policylang.lint import RULES

ROOT = Path(__file__).parents[2]
FIGURE_10 = str(ROOT / "examples" / "figure10.policy")
HOST_BITS = "monitor-policy {\n    on remote-ip 10.0.0.1/8\n        score-interface eth0 5\n}\n"


def lint(*arguments: object, stdin: str | bytes = "") -> Result:
    command = ["policy", "lint", *map(str, arguments)]
    return CliRunner().invoke(cli, command, input=stdin, prog_name="migrate")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my.policy"
    path.write_text(HOST_BITS)
    return path


@pytest.fixture(autouse=True)
def _interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "wlan0")])


def codes(result: Result) -> list[str]:
    return re.findall(r"\[([A-Za-z0-9-]+)\]$", result.output, re.MULTILINE)


def test_findings_end_with_status_1(file: Path) -> None:
    result = lint(file)
    assert (result.exit_code, codes(result)) == (1, ["P005", "P004"])
    assert (
        f"{file}:2:18: warning: `10.0.0.1/8` has host bits set: it means `10.0.0.0/8` [P005]" in result.output
    )
    assert "= there are `wlan0`" in result.output
    assert result.output.endswith("1 file judged: 2 warnings\n")


def test_nothing_found_ends_with_status_0() -> None:
    result = lint("-", stdin="monitor-policy { score-interface wl* 5 }")
    assert (result.exit_code, result.output) == (0, "1 file judged: no problems\n")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--no-host"], ["P005"]),
        (["--interface", "eth0"], ["P005"]),
        (["--interface", "eth1"], ["P005", "P004"]),
        (["--ignore", "p005", "--ignore", "P004"], []),
        (["--select", "P004"], ["P004"]),
        (["--select", "P004", "--ignore", "P004"], []),
    ],
)
def test_which_rules_are_used(file: Path, options: list[str], expected: list[str]) -> None:
    result = lint(file, *options)
    assert (codes(result), result.exit_code) == (expected, int(bool(expected)))


def test_mistakes_come_first_whatever_is_selected(file: Path) -> None:
    file.write_text(HOST_BITS.replace("score-interface eth0 5", "settle 5x"))
    result = lint(file, "--select", "P001")
    assert (result.exit_code, codes(result)) == (1, ["bad-duration"])


def test_a_file_that_cannot_be_read(file: Path, tmp_path: Path) -> None:
    result = lint(tmp_path / "missing", file)
    assert (result.exit_code, codes(result)) == (2, ["unreadable", "P005", "P004"])


def test_json_and_annotations(file: Path) -> None:
    answer = json.loads(lint(file, "--format", "json", "--no-host").output)
    assert (answer["ok"], [d["code"] for d in answer["diagnostics"]]) == (False, ["P005"])
    assert json.loads(lint(file, "--format", "json", "--ignore", "P005", "--no-host").output)["ok"] is True
    annotation = lint(file, "--format", "github", "--no-host").output
    assert annotation.startswith(f"::warning file={file},line=2,col=18,")


def test_files_are_judged_by_themselves_or_together(tmp_path: Path) -> None:
    sets, user = tmp_path / "sets.policy", tmp_path / "user.policy"
    sets.write_text("define OFFICE = 10.0.0.0/8")
    user.write_text("monitor-policy { on remote-ip $OFFICE settle 5s }")
    assert codes(lint(sets, user)) == ["undefined"]
    assert lint("--together", sets, user).exit_code == 0


def test_what_two_files_include_is_shown_once(file: Path, tmp_path: Path) -> None:
    others = [tmp_path / "a.policy", tmp_path / "b.policy"]
    for other in others:
        other.write_text(f'include "{file.name}"')
    assert codes(lint("--no-host", *others)) == ["P005"]


@pytest.mark.parametrize("code", RULES)
def test_the_page_of_every_rule_is_printed(code: str) -> None:
    result = lint("--explain", code.lower())
    assert (result.exit_code, result.output.split("\n")[0]) == (0, f"# {code}: {RULES[code].name}")


def test_a_rule_goes_by_its_name_too() -> None:
    assert lint("--explain", "shadowed-statement").output.startswith("# P001: shadowed-statement\n")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("shadowed-statment", "there is no rule `shadowed-statment`; did you mean `shadowed-statement`?"),
        ("x", "there is no rule `x`; `migrate policy lint --help` lists them"),
        ("P000", "there is no rule `P000`; did you mean"),
    ],
)
def test_a_rule_that_does_not_exist(written: str, said: str) -> None:
    assert said in lint("--explain", written).stderr


def test_codes_are_completed() -> None:
    context = click.Context(policy_lint.lint)
    (parameter,) = (p for p in policy_lint.lint.params if p.opts == ["--ignore"])
    found = parameter.type.shell_complete(context, parameter, "p01")
    assert [item.value for item in found] == [code for code in RULES if code.startswith("P01")]


def test_a_page_that_was_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_lint, "_PAGES", (tmp_path,))
    result = lint("--explain", "P001")
    assert (result.exit_code, "the page of P001 was not installed" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--explain", "P999"],
        ["--ignore", "P999", "a"],
        ["--together", "-"],
        ["--no-host", "--interface", "a", "b"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = lint(*arguments)
    assert (result.exit_code, "Usage: migrate policy lint" in result.output) == (2, True)


def test_help_lists_the_rules() -> None:
    listing = " ".join(lint("--help").output.split())
    assert all(code in listing for code in RULES)
    assert "migrate policy lint --explain P001" in listing
