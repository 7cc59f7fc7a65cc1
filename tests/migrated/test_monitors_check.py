"""`migrate monitors check`: each kind of plugin, and each kind of trouble, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from migrated.commands import cli
from monitors.testing import Check
from monitors.testing.child import LOADING, PERMISSIONS

HEAD = """
import asyncio, os, sys, time
from monitors.events import FactMeasured
from monitors.facts import METERED
from monitors.spec import NotAvailableError, hookimpl

class It:
    name = "it"
    facts = (METERED,)
    def __init__(self):
        self.said = False
    async def run(self, report):
        {body}
        if not self.said:
            report(FactMeasured(fact="metered", value=True, interface="wlan0"))
            self.said = True
        await asyncio.Event().wait()

@hookimpl
def migrate_monitors():
    return [It()]
"""


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "migrated.toml").write_text("")
    monkeypatch.setenv("MIGRATE_CONFIG", str(tmp_path / "migrated.toml"))


def plugin(folder: Path, body: str = "pass", name: str = "it") -> Path:
    file = folder / f"{name}.py"
    file.write_text(HEAD.format(body=body))
    return file


def run(*arguments: object) -> Result:
    words = ["monitors", "check", "--seconds", "0.1", *map(str, arguments)]
    return CliRunner().invoke(cli, words, prog_name="migrate")


def outcomes(*arguments: object, status: int) -> dict[str, tuple[str, str]]:
    """Return what came of each check of the one plugin, by the check's words."""
    result = run("--json", *arguments)
    assert result.exit_code == status, result.output
    (found,) = json.loads(result.stdout)
    return {one["check"]: (one["outcome"], one["message"]) for one in found["outcomes"]}


def faults(found: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    return {check: message for check, (outcome, message) in found.items() if outcome == "fault"}


def test_a_good_file_passes(tmp_path: Path) -> None:
    found = outcomes(plugin(tmp_path), status=0)
    assert list(found) == [PERMISSIONS, LOADING, *(check.value for check in Check)]
    skipped = [check for check, (outcome, _) in found.items() if outcome == "skipped"]
    assert skipped == [Check.VANISHING.value, Check.MEMORY.value]


def test_the_outcome_is_told_in_words(tmp_path: Path) -> None:
    result = run(plugin(tmp_path, "report('wlan0 is dear')"))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == "it"
    assert "  monitor `it`" in lines
    advice = "it reported a `str`; report events of `monitors.events`"
    assert f"    WRONG  {Check.REPORTS.value}: {advice}" in lines
    assert lines[-1] == "  1 wrong, 2 checks not made"


def test_what_a_plugin_prints_is_no_part_of_the_answer(tmp_path: Path) -> None:
    assert outcomes(plugin(tmp_path, "print('{}', flush=True)"), status=0)


@pytest.mark.parametrize(
    ("body", "check", "message"),
    [
        ("time.sleep(0.08)", Check.STEPS, "a step of it took "),
        ("raise OSError('no such modem')", Check.RUN, "it raised OSError: no such modem"),
        (
            "await asyncio.to_thread(report, None)",
            Check.RUN,
            "it raised RuntimeError: `report` was called in another thread than that of `run`; ",
        ),
        ("return", Check.RUN, "run() returned; it runs until it is cancelled"),
        ("os._exit(3)", Check.RUN, "it ended its process with status 3"),
        ("os.abort()", Check.RUN, "its process was ended by SIGABRT"),
    ],
)
def test_a_monitor_that_does_wrong_is_told_what(
    tmp_path: Path, body: str, check: Check, message: str
) -> None:
    found = faults(outcomes(plugin(tmp_path, body), status=1))
    assert found[check.value].startswith(message)


def test_what_this_host_lacks_is_no_fault(tmp_path: Path) -> None:
    found = outcomes(plugin(tmp_path, "raise NotAvailableError('there is no modem')"), status=0)
    assert found[Check.RUN.value] == ("skipped", "not available here: there is no modem")


def test_a_reason_that_many_checks_share_is_told_once(tmp_path: Path) -> None:
    told = run(plugin(tmp_path, "raise NotAvailableError('there is no modem')")).output
    assert told.count("there is no modem") == 1
    assert f"{Check.RESTART.value}: likewise" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import modem_manager_of_nobody", "ModuleNotFoundError: No module named 'modem_manager_of_nobody'"),
        ("syntax error", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit('no licence')", "it ended its process with status 1; a plugin never exits"),
        ("", "it has no hook `migrate_monitors`"),
        ("from monitors.spec import hookimpl\n@hookimpl\ndef migrate_monitor(): ...", "unknown hook"),
        ("from monitors.spec import hookimpl\n@hookimpl\ndef migrate_monitors(): return []", "no monitor"),
    ],
)
def test_a_plugin_that_does_not_load_is_told_why(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "it.py"
    file.write_text(text)
    found = faults(outcomes(file, status=1))
    assert list(found) == [LOADING]
    assert message in found[LOADING]


@pytest.mark.parametrize(
    ("text", "check"),
    [("import time; time.sleep(60)", LOADING), ("", Check.RUN.value)],
    ids=["import", "run"],
)
def test_a_plugin_that_blocks_is_ended_and_the_check_is_named(tmp_path: Path, text: str, check: str) -> None:
    file = plugin(tmp_path, "time.sleep(60)")
    file.write_text(text + "\n" + file.read_text())
    for limit_s in (3, 12, 48):  # a busy machine takes longer to come as far as that
        found = faults(outcomes(file, "--timeout", limit_s, status=1))
        if list(found) == [check]:
            break
    assert found == {check: f"it was not done within {limit_s} s and was ended; wait only with `await`"}


DEAF = """while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass"""


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (DEAF, {Check.CANCELLATION.value: "run() did not end within 1 s of being cancelled"}),
        ("await asyncio.to_thread(time.sleep, 60)", {}),
    ],
    ids=["task", "thread"],
)
def test_what_a_monitor_leaves_behind_is_not_waited_for(
    tmp_path: Path, body: str, wrong: dict[str, str]
) -> None:
    assert faults(outcomes(plugin(tmp_path, body), "--timeout", "30", status=int(bool(wrong)))) == wrong


def test_a_file_that_the_daemon_would_refuse_is_checked_nevertheless(tmp_path: Path) -> None:
    file = plugin(tmp_path)
    file.chmod(0o666)
    found = outcomes(file, status=1)
    assert list(faults(found)) == [PERMISSIONS]
    assert f"forbid it with `chmod go-w {file}`" in faults(found)[PERMISSIONS]
    assert found[Check.RUN.value] == ("ok", "")


def test_its_settings_are_those_of_the_configuration(tmp_path: Path) -> None:
    text = HEAD.format(body="pass").replace("def migrate_monitors()", "def migrate_monitors(surroundings)")
    hook = (
        "    from monitors.spec import SettingsError as Wrong\n    raise Wrong(surroundings.settings('it'))\n"
    )
    file = tmp_path / "it.py"
    file.write_text(text.replace("    return [It()]\n", hook))
    (tmp_path / "migrated.toml").write_text("[monitors.it]\nenabled = false\npace = 7\n")
    assert faults(outcomes(file, status=1)) == {LOADING: "its settings are wrong: {'pace': 7}"}


def test_every_file_of_a_folder_is_checked(tmp_path: Path) -> None:
    folder = tmp_path / "monitors.d"
    folder.mkdir()
    plugin(folder)
    (folder / "bad.py").write_text("")
    (folder / "_helper.py").write_text("")
    result = run("--json", folder)
    assert result.exit_code == 1
    assert [one["plugin"] for one in json.loads(result.stdout)] == ["bad", "it"]


def test_a_project_is_checked_by_its_entry_points(tmp_path: Path) -> None:
    plugin(tmp_path, name="module_of_it")
    table = '[project.entry-points."migrate.monitors"]\nit = "module_of_it"\n'
    (tmp_path / "pyproject.toml").write_text(table)
    assert outcomes(tmp_path, status=0)[Check.RUN.value] == ("ok", "")


@pytest.mark.parametrize("target", ["clock", "monitors.clock"])
def test_an_installed_one_has_a_name_and_a_module(target: str) -> None:
    assert outcomes(target, status=0)[Check.REPORTS.value] == ("ok", "")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("clok", "there is no plugin, file or module `clok`; did you mean `clock`?"),
        ("nobody.knows", "there is no plugin, file or module `nobody.knows`"),
        ("none.py", "there is no file `none.py`"),
        ("empty", "`empty` has neither a `pyproject.toml` nor files of monitors"),
        ("note.txt", "`note.txt` is no Python file"),
        ("project", 'names no monitors; it needs the table `[project.entry-points."migrate.monitors"]`'),
        ("broken", "`broken/pyproject.toml` can't be read"),
    ],
)
def test_what_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "project", "broken"):
        (tmp_path / folder).mkdir()
    (tmp_path / "project" / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "broken" / "pyproject.toml").write_text("[")
    (tmp_path / "note.txt").write_text("")
    result = run(target)
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_a_configuration_with_a_mistake_is_told(tmp_path: Path) -> None:
    (tmp_path / "migrated.toml").write_text("monitor = 1\n")
    result = run(plugin(tmp_path))
    assert (result.exit_code, "unknown key `monitor`" in result.output) == (2, True)


def test_installed_plugins_complete_its_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {
        "COMP_WORDS": "migrate monitors check cl",
        "COMP_CWORD": "3",
        "_MIGRATE_COMPLETE": "bash_complete",
    }
    result = CliRunner().invoke(cli, env=words, prog_name="migrate")
    assert result.output == "plain,clock\n"


def test_a_daemon_would_load_what_passes(tmp_path: Path) -> None:
    """The words of the check are those of the daemon: the same file is refused for the same reason."""
    from monitors.discovery import discover

    file = plugin(tmp_path)
    file.chmod(0o666)
    found: Any = outcomes(file, status=1)
    (failure,) = discover(points=[], folders=[tmp_path]).failures
    assert found[PERMISSIONS][1] == f"the daemon would refuse it: {failure.reason}"
