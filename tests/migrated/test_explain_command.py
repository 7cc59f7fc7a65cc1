"""`migrate policy explain`, run as a person runs it."""

from __future__ import annotations

import errno
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrated.commands import cli
from migrated.commands.explain import explain
from migrated.lab import Lab, is_privileged
from monitors import netlink
from monitors.events import AddressPresent, LinkState
from tests.monitors.samples import address, cut, link

FIGURE_10 = str(Path(__file__).parents[2] / "examples" / "figure10.policy")
SSH = "tcp 10.0.0.5:40000 -> 18.31.0.9:22"
README = Path(__file__).parents[2] / "README.md"
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


def test_a_last_resort_is_called_so_where_it_is_used_and_where_it_is_not(tmp_path: Path) -> None:
    file = tmp_path / "avoid.policy"
    file.write_text("monitor-policy { score-interface * 7 score-interface ppp* avoid }")
    alone, not_alone = (_run(file=str(file), links=links).output for links in (LINKS[2:], LINKS))
    assert f"*  ppp0  10.0.0.5  7      {file}:1, {file}:1, a last resort\n" in alone
    assert f"`ppp0` is a last resort, by `avoid` ({file}:1)" in alone
    assert f"not eligible: a last resort, and there is another link ({file}:1)\n" in not_alone


def test_ipv6_stands_in_brackets() -> None:
    result = _run(
        session="tcp [2001:db8::5]:1 -> [2001:db8::9]:22", links=("six0=2001:db8::5", "eth0=10.0.0.5")
    )
    assert "the session stays on six0 (2001:db8::5)" in result.output
    assert "not eligible: the peer is reached by IPv6\n" in result.output  # and no statement is named for it


def test_user_app_and_role_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "user.policy"
    file.write_text("monitor-policy { on user ann app ssh role server score-interface * 42 }")
    mine = _run("--user", "ann", "--app", "/usr/bin/ssh", "--role", "server", file=str(file))
    assert "  42  " in mine.output
    assert "  42  " not in _run(file=str(file)).output


def _host_has(monkeypatch: pytest.MonkeyPatch, *events: LinkState | AddressPresent) -> None:
    async def read_links() -> tuple[LinkState, ...]:
        return tuple(event for event in events if isinstance(event, LinkState))

    async def read_addresses() -> tuple[AddressPresent, ...]:
        return tuple(event for event in events if isinstance(event, AddressPresent))

    monkeypatch.setattr(netlink, "read_links", read_links)
    monkeypatch.setattr(netlink, "read_addresses", read_addresses)


def test_without_links_those_of_this_host_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    _host_has(
        monkeypatch,
        link(2, "eth1"),
        link(3, "ppp0"),
        cut(4, "eth2"),
        address("10.1.0.5", 2, "eth1"),
        address("fe80::1", 2, "eth1", usable=False),
        address("10.0.0.5", 3, "ppp0"),
        address("10.2.0.5", 4, "eth2"),
    )
    result = _run(links=())
    assert result.exit_code == 0
    assert result.stderr == "no `--link` given; the links of this host: eth1=10.1.0.5, ppp0=10.0.0.5\n"
    assert "the session moves in 2 s to eth1 (10.1.0.5), because" in result.stdout
    assert json.loads(_run("--json", links=()).stdout)["winner"]["name"] == "eth1"


def test_a_host_without_a_usable_link_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _host_has(monkeypatch, cut(2, "eth0"), address("10.0.0.5"))
    result = _run(links=())
    assert result.exit_code == 2
    assert "this host has no usable link with an address; give each as `--link NAME=ADDRESS`" in result.output


def test_a_kernel_that_does_not_tell_its_links_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> tuple[LinkState, ...]:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(netlink, "read_links", refuse)
    result = _run(links=())
    assert result.exit_code == 2
    assert "cannot read the links of this host: operation not permitted; give each as" in result.output


def _readme_command() -> list[str]:
    """Return the arguments of the README's row, with Figure 10 as the file."""
    row = next(
        line for line in README.read_text().splitlines() if line.startswith("| `migrate policy explain")
    )
    return [FIGURE_10 if word == "FILE" else word for word in shlex.split(row.split("`")[1])[1:]]


def test_the_readme_row_runs_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    _host_has(monkeypatch, link(2, "eth0"), address("10.0.0.5"))
    result = CliRunner().invoke(cli, _readme_command())
    assert result.exit_code == 0
    assert "the session stays on eth0 (10.0.0.5)" in result.stdout


@pytest.mark.netns
@pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")
def test_the_readme_row_runs_on_a_real_host() -> None:
    command = [sys.executable, "-c", "from migrated.commands import main; main()", *_readme_command()]
    with Lab() as lab:
        host, other = lab.host("h"), lab.host("o")
        nothing = host.run(command)
        lab.cable(host, "eth0", other, "eth0")
        host.address_add("eth0", "10.0.0.5/24")
        done = host.run(command)
    assert (nothing.returncode, done.returncode) == (2, 0)
    assert "this host has no usable link" in nothing.stderr
    assert "eth0=10.0.0.5" in done.stderr
    assert "the session stays on eth0 (10.0.0.5)" in done.stdout


@pytest.mark.parametrize(
    ("session", "links", "message"),
    [
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


def test_candidate_servers_are_ranked_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "servers.policy"
    file.write_text(
        "monitor-policy {\n"
        "score-server *.example 5\n"
        "on port 22 score-server b.example 7\n"
        "score-server c.example never\n"
        "}\n"
    )
    servers = ("--server", "a.example", "--server", "c.example", "--server", "b.example")
    text = _run(*servers, file=str(file)).output
    ranking = [line.split(maxsplit=2) for line in text.split("\n\n")[-1].splitlines()]
    assert [row[:2] for row in ranking] == [
        ["server", "score"],
        ["b.example", "7"],
        ["a.example", "5"],
        ["c.example", "never"],
    ]
    assert f"({file}:3)" in ranking[1][2]
    found = json.loads(_run("--json", *servers, file=str(file)).stdout)
    assert [row["name"] for row in found["servers"]] == ["b.example", "a.example", "c.example"]
    assert "servers" not in json.loads(_run("--json", file=str(file)).stdout)


def test_a_configuration_says_which_files_are_a_users(tmp_path: Path) -> None:
    (tmp_path / "host.policy").write_text(
        "monitor-policy { score-interface eth0 90 score-interface wlan0 20 }"
    )
    (tmp_path / "mine.policy").write_text("monitor-policy { score-interface eth0 10 }")
    both = tmp_path / "both.toml"
    both.write_text('user_policy = ["mine.policy"]\npolicy = ["host.policy"]\napplication_policy = []\n')
    links = ("eth0=10.0.0.5", "wlan0=10.1.0.5")
    assert json.loads(_run("--json", links=links, file=str(both)).stdout)["winner"]["interface"] == "wlan0"
    wrong = _run(file=str(tmp_path / "none.toml"))
    assert (wrong.exit_code, "none.toml" in wrong.stderr) == (2, True)
