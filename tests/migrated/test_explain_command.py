"""`migrate policy explain`, run as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrated.commands.explain import explain

FIGURE_10 = str(Path(__file__).parents[2] / "examples" / "figure10.policy")
SSH = "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
LINKS = ("eth0:1=10.0.0.6", "eth1=10.1.0.5", "ppp0=10.0.0.5")


def _run(*options: str, session: str = SSH, links: tuple[str, ...] = LINKS, file: str = FIGURE_10) -> Result:
    given = [part for link in links for part in ("--link", link)]
    return CliRunner().invoke(explain, [file, "--session", session, *given, *options])


def test_the_table_names_scores_and_lines_and_the_winner() -> None:
    result = _run()
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines()]
    assert ["eth1", "10.1.0.5", "100", f"{FIGURE_10}:9"] in rows
    assert ["*", "ppp0", "10.0.0.5", "5", f"{FIGURE_10}:5"] in rows
    assert "the session moves in 2 s to eth0:1 (10.0.0.6), because" in result.output


def test_local_ports_decide_otherwise() -> None:
    result = _run(session="tcp 10.0.0.6:3005 -> 192.0.2.9:2200")
    assert "to eth1 (10.1.0.5)" in result.output
    assert f"`eth1` scores 200 ({FIGURE_10}:11)" in result.output


def test_json_is_one_object() -> None:
    answer = json.loads(_run("--json").output)
    assert answer["winner"]["name"] == "eth0:1"
    assert {row["name"]: row["score"] for row in answer["links"]} == {"eth0:1": 100, "eth1": 100, "ppp0": 5}


def test_a_pinned_session_stays() -> None:
    result = _run(session="tcp 10.0.0.5:1 -> 192.0.2.9:80")
    assert "the session stays on ppp0 (10.0.0.5)" in result.output
    assert f"({FIGURE_10}:15)" in result.output


def test_ipv6_stands_in_brackets() -> None:
    result = _run(
        session="tcp [2001:db8::5]:1 -> [2001:db8::9]:22", links=("six0=2001:db8::5", "eth0=10.0.0.5")
    )
    assert "the session stays on six0 (2001:db8::5)" in result.output
    assert "not eligible: the peer is reached by IPv6" in result.output


def test_user_app_and_role_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "user.policy"
    file.write_text("monitor-policy { on user ann app ssh role server score-interface * 42 }")
    mine = _run("--user", "ann", "--app", "/usr/bin/ssh", "--role", "server", file=str(file))
    assert "  42  " in mine.output
    assert "  42  " not in _run(file=str(file)).output


@pytest.mark.parametrize(
    ("session", "links", "message"),
    [
        (SSH, (), "no links to choose from"),
        (SSH, ("eth0",), "`eth0` is not NAME=ADDRESS"),
        (SSH, ("eth0=10.0.0",), "`10.0.0` is not an address"),
        (SSH, ("eth0=10.0.0.5", "eth1=10.0.0.5"), "given to `eth0` and to `eth1`"),
        ("ssh to home", LINKS, "expected the form"),
        ("icmp 10.0.0.5:1 -> 10.0.0.6:2", LINKS, "unknown protocol `icmp`"),
        ("tcp 10.0.0.5 -> 10.0.0.6:2", LINKS, "is not ADDRESS:PORT"),
        ("tcp 2001:db8::5:1 -> [2001:db8::9]:2", LINKS, "in brackets"),
        ("tcp 10.0.0.5:99999 -> 10.0.0.6:2", LINKS, "`99999` is not a port"),
        ("tcp host:1 -> 10.0.0.6:2", LINKS, "`host` is not an address"),
    ],
)
def test_wrong_usage_is_answered_clearly(session: str, links: tuple[str, ...], message: str) -> None:
    result = _run(session=session, links=links)
    assert result.exit_code == 2
    assert message in result.output


def test_errors_of_the_policy_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "wrong.policy"
    file.write_text("monitor-policy { score-interfac * 1 }")
    wrong, missing = _run(file=str(file)), _run(file=str(tmp_path / "missing"))
    assert (wrong.exit_code, missing.exit_code) == (1, 2)
    assert f"{file}:1:18" in wrong.output


def test_it_needs_neither_pyroute2_nor_cryptography() -> None:
    code = (
        "import sys; from migrated.commands.explain import explain\n"
        f"explain([{FIGURE_10!r}, '--session', {SSH!r}, '--link', 'eth0=10.0.0.5'], standalone_mode=False)\n"
        "assert not {'pyroute2', 'cryptography', 'asyncio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
