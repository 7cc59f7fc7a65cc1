"""`migrate facts`, and what it says of this host."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from migrated.commands import cli
from migrated.commands.client import age
from migrated.control.observations import FactList
from monitors.facts import OPERSTATE, STANDARD_FACTS
from tests.migrated.control_fakes import running_server


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["facts", *arguments], prog_name="migrate")


def test_every_standard_fact_is_listed_with_who_measures_it() -> None:
    result = migrate()
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split() for line in result.output.splitlines()[1:]}
    assert rows.keys() >= STANDARD_FACTS.keys()
    assert rows["hour"][1:5] == ["number", "host", "yes", "clock"]
    assert (rows["rtt"][1:4], rows["rtt"][5]) == (["number", "s", "path"], "probe")


def test_a_fact_has_one_line_where_nobody_looks_at_it_on_a_terminal() -> None:
    (_, line) = migrate("operstate").output.splitlines()
    assert line.split()[-1] == OPERSTATE.choices[-1]


def test_names_choose() -> None:
    result = migrate("--json", "weekday", "carrier")
    found = json.loads(result.output)
    assert [fact["name"] for fact in found] == ["carrier", "weekday"]
    assert found[1]["choices"][0] == "monday"
    assert all(fact["measured"] for fact in found)


def test_json_tells_all_of_a_fact() -> None:
    (found,) = json.loads(migrate("--json", "wifi.signal").output)
    assert found == {
        "name": "wifi.signal",
        "type": "number",
        "unit": "dbm",
        "subject": "link",
        "measured": True,
        "monitor": "wifi",
        "choices": [],
        "summary": STANDARD_FACTS["wifi.signal"].summary,
    }


def test_values_are_those_of_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1.8e9)
    with running_server(tmp_path / "s", {}):
        asked = ("--values", "--socket", str(tmp_path / "s"))
        lines = [line.split() for line in migrate(*asked).output.splitlines()]
        (found,) = json.loads(migrate(*asked, "--json", "carrier").output)
    assert lines == [
        ["FACT", "OF", "VALUE", "AGE"],
        ["carrier", "eth0", "yes"],
        ["carrier", "eth1", "no"],
        ["hour", "host", "7"],
        ["plugin.unheard-of", "host", "1"],
        ["weekday", "host", "friday"],
        ["wifi.signal", "wlan0", "-71", "dBm", *age(1.5e9).split()],
        ["rtt", "wlan0", "->", "10.0.0.9", "31", "ms"],
        ["rto", "session", "aa110000", "connection", "4711", "200", "ms"],
    ]
    assert [(row["interface"], row["value"]) for row in found["values"]] == [("eth0", True), ("eth1", False)]


def test_json_tells_all_of_a_value(tmp_path: Path) -> None:
    with running_server(tmp_path / "s", {}) as server:
        (found,) = json.loads(migrate("--values", "--socket", str(tmp_path / "s"), "--json", "rtt").output)
        assert [request.names for request in server.handler.facts_asked] == [("rtt",)]
    assert found["values"] == [
        {
            "value": 0.031,
            "interface": "wlan0",
            "peer": "10.0.0.9",
            "session": "",
            "connection": "",
            "measured_at": None,
            "expires_at": 4e9,
        }
    ]


def test_what_found_no_place_in_the_answer_is_counted(tmp_path: Path) -> None:
    with running_server(tmp_path / "s", {}) as server:
        server.handler.readings = [FactList(facts=(), omitted=90_000)]
        result = migrate("--values", "--socket", str(tmp_path / "s"))
    assert result.exit_code == 0
    assert result.stderr.startswith("90000 values of sessions left out")


def test_where_nothing_is_measured_it_says_so(tmp_path: Path) -> None:
    with running_server(tmp_path / "s", {}) as server:
        server.handler.readings = [FactList(facts=(), omitted=0)]
        result = migrate("--values", "--socket", str(tmp_path / "s"), "loss")
    assert (result.exit_code, result.output) == (0, "no values\n")


def test_values_need_a_daemon(tmp_path: Path) -> None:
    result = migrate("--values", "--socket", str(tmp_path / "s"))
    assert result.exit_code == 2
    assert "no daemon is running" in result.stderr


def test_a_name_that_no_fact_has_is_an_error() -> None:
    result = migrate("weekdy")
    assert result.exit_code == 2
    assert "there is no fact `weekdy`; did you mean `weekday`?" in result.stderr


@pytest.mark.parametrize(("typed", "expected"), [("ho", ["hour"]), ("wifi.", ["wifi.signal", "wifi.ssid"])])
def test_names_are_completed(typed: str, expected: list[str]) -> None:
    completer = ShellComplete(cli, {}, "migrate", "_MIGRATE_COMPLETE")
    assert [item.value for item in completer.get_completions(["facts"], typed)] == expected
