"""`migrate policy explain` with what is measured, with several connections, and of live sessions."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine import Connection, Engine, SessionDescription
from migrated.authoring.described import address_present, link_state
from migrated.commands import cli
from migrated.control.messages import Explain, ExplanationReport
from monitors.events import FactMeasured
from policylang import parse_policy
from tests.migrated.control_fakes import FakeHandler, running_server

SSH = "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
POLICY = """monitor-policy {
    score-interface wlan* 100
    when metered = yes score-interface * -80
    when rtt > 300ms for 10s until rtt < 200ms for 30s score-interface wlan* never
    when hour >= 22 suspend never
    when rto > 3s ignore
    on port 23 score-interface lte* 500
    on remote-host *.mit.edu score-interface lte* 700
    when wifi.ssid = home score-interface wlan* +1
}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "my.policy"
    path.write_text(POLICY)
    return str(path)


def _run(*arguments: str) -> Result:
    links = ("--link", "wlan0=10.0.0.5", "--link", "lte0=10.1.0.5")
    return CliRunner().invoke(cli, ["policy", "explain", *arguments, *links])


def _facts(*facts: str) -> list[str]:
    return [part for fact in facts for part in ("--fact", fact)]


def test_every_condition_says_how_it_stands(file: str) -> None:
    facts = _facts("metered wlan0=yes", "rtt wlan0=400ms", "hour=23", "rto=4s", "wifi.ssid wlan0=home=5")
    result = _run(file, "--session", SSH, *facts)
    assert result.exit_code == 0
    rows = [line.split("  ") for line in result.output.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["metered = yes", "wlan0", "yes", "yes", f"{file}:3"] in cells
    assert ["metered = yes", "lte0", "unknown", "no", f"{file}:3"] in cells
    rtt = "rtt > 300ms for 10s until rtt < 200ms for 30s"
    assert [rtt, "wlan0", "400 ms", "no, yes in 10 s", f"{file}:4"] in cells
    assert ["hour >= 22", "host", "23", "yes", f"{file}:5"] in cells
    assert ["rto > 3s", "connection", "4 s", "yes", f"{file}:6"] in cells
    assert ["wifi.ssid = home", "wlan0", "home=5", "no", f"{file}:9"] in cells
    assert ["*", "wlan0", "10.0.0.5", "20", f"{file}:2, {file}:3"] in cells


def test_without_conditions_there_is_no_table_of_them(tmp_path: Path) -> None:
    (tmp_path / "plain.policy").write_text("monitor-policy { score-interface * 1 }")
    result = _run(str(tmp_path / "plain.policy"), "--session", SSH)
    assert "measured" not in result.output


def test_conditions_are_in_the_json(file: str) -> None:
    answer = json.loads(_run(file, "--session", SSH, "--json", *_facts("metered lte0=no")).output)
    (row,) = [r for r in answer["conditions"] if r["value"] is False]
    assert (row["text"], row["subject"], row["holds"]) == ("metered = yes", "lte0", False)


def test_one_of_several_connections_is_enough(file: str) -> None:
    assert "stays on wlan0" in _run(file, "--session", SSH).output
    result = _run(file, "--session", SSH, "--session", SSH.replace(":22", ":23"))
    assert "moves in 2 s to lte0" in result.output
    assert result.output.splitlines()[:2] == [f"{SSH} (client)", f"{SSH.replace(':22', ':23')} (client)"]


def test_names_of_the_other_end_are_asked_for(file: str) -> None:
    result = _run(file, "--session", SSH, "--remote-host", "athena.MIT.edu.")
    assert f"`lte0` scores 700 ({file}:8)" in result.output


def test_without_files_those_of_the_configuration_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, score in (("system", 5), ("user", 7)):
        (tmp_path / f"{name}.policy").write_text(f"monitor-policy {{ score-interface wlan* {score} }}")
    configuration = tmp_path / "migrate.toml"
    configuration.write_text('policy = ["system.policy"]\nuser_policy = ["user.policy"]\n')
    monkeypatch.setenv("MIGRATE_CONFIG", str(configuration))
    result = _run("--session", SSH)
    assert f"`wlan0` scores 7 ({tmp_path}/user.policy:1)" in result.output
    configuration.write_text("polcy = 1\n")
    assert _run("--session", SSH).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say which session"),
        (("--session", SSH, "--fact", "hour"), "`hour` is not FACT=VALUE"),
        (("--session", SSH, "--fact", "hours=3"), "did you mean `hour`?"),
        (("--session", SSH, "--fact", "rtt wlan0=3"), "`rtt` needs a unit"),
        (("--session", SSH, "--fact", "=3"), "there is no fact ``"),
        (("--live", "ab", "--session", SSH), "leave out --session, --link"),
        (("--live", "ab", "--user", "ann"), "leave out --link, --user"),
    ],
)
def test_wrong_usage_is_answered_clearly(file: str, arguments: tuple[str, ...], message: str) -> None:
    result = _run(file, *arguments) if "--live" not in arguments else _run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def _live_explanation() -> ExplanationReport:
    policy = parse_policy(POLICY, "/etc/my.policy").policy
    assert policy is not None
    engine = Engine(policy)
    only = Connection(
        proto="tcp", local_address="10.0.0.5", local_port=1, remote_address="18.31.0.9", remote_port=22
    )
    now = time.monotonic()
    for event in (link_state("wlan0", 1, up=True), address_present("wlan0", 1, "10.0.0.5")):
        engine.handle(event, now)
    engine.add_session(SessionDescription(id="ab12", connections=(only,)), ("wlan0", "10.0.0.5"), now)
    engine.handle(FactMeasured(fact="rtt", value=0.4, interface="wlan0", peer="18.31.0.9"), now + 90.0)
    return ExplanationReport.of(engine.explain("ab12", now + 90.0))


def test_a_live_session_is_the_daemons_to_explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "control"))
    answered = FakeHandler.handle

    def handle(self: FakeHandler, request: object, who: object) -> object:
        if isinstance(request, Explain) and request.session == "ab":
            return _live_explanation()
        return answered(self, request, who)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeHandler, "handle", handle)
    with running_server(tmp_path / "control", {}):
        result = CliRunner().invoke(cli, ["policy", "explain", "--live", "ab"])
    assert result.exit_code == 0
    assert result.output.startswith("session ab12\n")
    # Times are told from now on, whatever the daemon's clock shows.
    assert "  no, yes in " in result.output
    assert "the session stays on wlan0 (10.0.0.5), because" in result.output


def test_without_a_daemon_there_is_nobody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "nothing"))
    assert CliRunner().invoke(cli, ["policy", "explain", "--live", "ab"]).exit_code == 2
