"""`migrate policy test`, run as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from click.testing import CliRunner, Result

from migrated.commands import cli

POLICY = """monitor-policy {
    score-interface wlan* 10
    score-interface eth* 100
    on port 80 adopt
}
"""
HEAD = """policy = ["dock.policy"]

[[test]]
name = "back at the dock"
links = { eth0 = "10.0.0.5", wlan0 = "10.1.0.5" }
sessions = { shell = "tcp 10.0.0.5:40000 -> 18.31.0.9:22" }
steps = [
  { at = "5s", down = "eth0", expect = { shell = "wlan0" } },
  { at = "20s", up = "eth0" },
  { at = "22s", expect = { shell = "eth0" } },
]
"""
BAD = """
[[test]]
name = "never away"
links = { eth0 = "10.0.0.5", wlan0 = "10.1.0.5" }
sessions = { shell = "tcp 10.0.0.5:40000 -> 18.31.0.9:22" }
steps = [
  { at = "5s", down = "eth0", expect = { shell = "eth0" } },
]
"""
LATE = """policy = ["dock.policy"]

[[test]]
name = "back too late"
links = { eth0 = "10.0.0.5", wlan0 = "10.1.0.5" }
sessions = { shell = "tcp 10.0.0.5:40000 -> 18.31.0.9:22" }
steps = [
  { at = "5s", down = "eth0" },
  { at = "6s", up = "eth0", facts = { "metered wlan0" = true, hour = 7.0 } },
  { at = "7s", expect = { shell = "eth0" } },
]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dock.policy").write_text(POLICY)
    (tmp_path / "good.timeline.toml").write_text(HEAD)
    (tmp_path / "bad.timeline.toml").write_text(HEAD + BAD)
    return tmp_path


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["policy", "test", *arguments])


def test_all_is_well(folder: Path) -> None:
    result = _run("good.timeline.toml")
    assert result.exit_code == 0
    assert result.output.startswith("1 test in ")
    assert result.output.endswith(": all passed\n")


def test_a_mismatch_is_shown_with_its_reasons_and_what_happened(folder: Path) -> None:
    result = _run("bad.timeline.toml")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[:5] == [
        "failed: never away",
        "  bad.timeline.toml:18",
        "  at 5s: shell: expected eth0, found wlan0",
        "  shell",
        "    - eth0",
    ]
    assert "      because `wlan0` scores 10 (dock.policy:2)" in lines
    assert not [line for line in lines if line.startswith("      now ")]  # the move was a moment ago
    assert "          5s  down eth0" in lines
    assert lines[-1].endswith(": 1 failed")
    assert lines[-1].startswith("2 tests in ")


def test_a_mismatch_says_how_things_are_now_where_the_session_came_earlier(folder: Path) -> None:
    (folder / "late.timeline.toml").write_text(LATE)
    result = _run("late.timeline.toml")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert any("because `10.0.0.5` on `eth0`, in use, is not eligible" in line for line in lines)
    assert any(line.startswith("      now the lead must last 2 s") for line in lines)
    assert "          6s  metered wlan0 = yes" in lines
    assert "          6s  hour = 7" in lines


def test_a_folder_is_searched_and_tests_are_chosen_by_name(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "bad.timeline.toml").rename(folder / "deep" / "bad.timeline.toml")
    (folder / "deep" / "dock.policy").write_text(POLICY)
    assert _run(".").output.splitlines()[-1].startswith("3 tests")
    assert _run(".", "-k", "dock").exit_code == 0
    assert _run("deep", ".", "-k", "never").output.splitlines()[-1].startswith("1 test in")
    refused = _run(".", "-k", "nowhere")
    assert refused.exit_code == 2
    assert "no test has `nowhere` in its name" in refused.output


def test_verbose_tells_also_what_went_well(folder: Path) -> None:
    result = _run("-v", "good.timeline.toml")
    assert "passed: back at the dock" in result.output
    assert "22s  shell: moves to eth0, because" in result.output


def test_what_can_not_be_run_is_told_and_the_others_are_run(folder: Path) -> None:
    (folder / "a.timeline.toml").write_text("polcy = 1")
    (folder / "b.timeline.toml").write_text(HEAD.replace("dock.policy", "none.policy"))
    (folder / "c.timeline.toml").write_text(HEAD.replace('down = "eth0"', 'down = "eht0"'))
    result = _run("a.timeline.toml", "b.timeline.toml", "c.timeline.toml", "good.timeline.toml")
    assert result.exit_code == 2
    assert "a.timeline.toml: there is no key `polcy`; did you mean `policy`?" in result.output
    assert "b.timeline.toml: its policy has mistakes:\nnone.policy: error" in result.output
    assert "at 5s: there is no link `eht0`; did you mean `eth0`?" in result.output
    assert result.output.splitlines()[-1].endswith(": 1 error, 2 files not run")


def test_a_folder_without_timelines_is_a_mistake(folder: Path) -> None:
    (folder / "empty").mkdir()
    result = _run("empty")
    assert result.exit_code == 2
    assert "there is no file `*.timeline.toml` below `empty`" in result.output


def test_coverage_names_the_lines_that_no_test_reached(folder: Path) -> None:
    result = _run("--coverage", "good.timeline.toml")
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines()]
    assert ["dock.policy", "3", "66.7", "%", "4"] in rows
    assert ["all", "3", "66.7", "%"] in rows
    assert _run("--fail-under", "66", "good.timeline.toml").exit_code == 0
    short = _run("--fail-under", "67", "good.timeline.toml")
    assert short.exit_code == 1
    assert "66.7 % of the statements were reached, less than 67 %" in short.output


def test_json_is_one_object(folder: Path) -> None:
    result = _run("--json", "--coverage", "bad.timeline.toml")
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    good, bad = answer["tests"]
    assert (good["status"], good["checked"], good["mismatches"], good["line"]) == ("passed", 2, [], 3)
    assert "story" not in good
    assert bad["mismatches"][0]["expected"] == "eth0"
    assert bad["story"][0] == {"at": 5.0, "text": "down eth0"}
    assert answer["coverage"] == [
        {"file": "dock.policy", "statements": 3, "reached": 2, "percent": 66.7, "missed": ["dock.policy:4"]}
    ]


def test_junit_is_written(folder: Path) -> None:
    result = _run("--junit", "report.xml", ".")
    assert result.exit_code == 1
    root = fromstring((folder / "report.xml").read_text())
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    assert _run("--junit", "none/report.xml", "good.timeline.toml").exit_code != 0


def test_words_of_others_do_not_steer_the_terminal(folder: Path) -> None:
    (folder / "x.timeline.toml").write_text(HEAD.replace("back at", "\\u001b[31mred"), encoding="utf-8")
    result = _run("-v", "x.timeline.toml")
    assert "\x1b" not in result.output
    assert "\\x1b[31mred" in result.output
