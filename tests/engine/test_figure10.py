"""What the paper says under Fig. 10, sentence by sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Engine, SessionDescription
from policylang import load_policy
from tests.engine import build

FIGURE_10 = Path(__file__).parents[2] / "examples" / "figure10.policy"
FOUR = ("eth0:1", "eth1", "ppp0", "wlan0")


def _engine(*names: str) -> Engine:
    result = load_policy([FIGURE_10], with_defaults=True)
    assert result.policy is not None
    engine = Engine(result.policy)
    for name in names:
        engine.handle(build.link(name), 0.0)
        engine.handle(build.present(name), 0.0)
    return engine


def _scores(engine: Engine, remote: str = "192.0.2.9", port: int = 2200, **others: int) -> dict[str, int]:
    described = build.session("s", remote, port, others.get("local_port", 40000))
    return {row.name: row.score for row in engine.explain(described, 0.0).links}


def test_eth0_is_preferred_to_other_eth_which_are_preferred_to_ppp_which_are_preferred_to_all_others() -> (
    None
):
    scores = _scores(_engine(*FOUR))
    assert scores["eth0:1"] > scores["eth1"] > scores["ppp0"] > scores["wlan0"]


@pytest.mark.parametrize("remote", ["18.31.0.4", "18.31.0.0", "18.31.0.255"])
def test_ssh_to_18_31_0_has_an_increased_affinity_for_eth(remote: str) -> None:
    engine = _engine(*FOUR)
    plain, ssh = _scores(engine, remote, 2200), _scores(engine, remote, 22)
    assert (plain["eth1"], ssh["eth1"]) == (10, 100)
    assert (plain["ppp0"], plain["wlan0"]) == (ssh["ppp0"], ssh["wlan0"]) == (5, 1)


@pytest.mark.parametrize(("remote", "port"), [("18.31.1.4", 22), ("18.30.255.255", 22), ("18.31.0.4", 23)])
def test_other_hosts_and_ports_have_no_such_affinity(remote: str, port: int) -> None:
    assert _scores(_engine(*FOUR), remote, port)["eth1"] == 10


@pytest.mark.parametrize("local_port", [3001, 3005, 3010])
def test_local_ports_3001_to_3010_prefer_eth0_less_than_other_eth(local_port: int) -> None:
    scores = _scores(_engine(*FOUR), local_port=local_port)
    assert scores["eth0:1"] == 100
    assert scores["eth1"] == 200


@pytest.mark.parametrize("local_port", [3000, 3011])
def test_the_neighbouring_ports_prefer_eth0(local_port: int) -> None:
    assert _scores(_engine(*FOUR), local_port=local_port)["eth0:1"] == 1000


@pytest.mark.parametrize("port", [80, 21])
def test_sessions_with_connections_to_http_or_ftp_ports_are_never_migrated(port: int) -> None:
    engine = _engine(*FOUR)
    engine.add_session(build.session("web", port=port), build.key("ppp0"), 0.0)
    engine.add_session(build.session("other", port=port + 1), build.key("ppp0"), 0.0)
    decisions = (*engine.handle_timer(0.0), *engine.handle_timer(60.0))
    decisions += engine.handle(build.link("ppp0", carrier=False), 61.0)
    assert {d.session for d in decisions} == {"other"}


def test_one_http_connection_pins_the_whole_session() -> None:
    engine = _engine(*FOUR)
    both = SessionDescription(id="both", connections=(build.connection(port=2200), build.connection(port=80)))
    engine.add_session(both, build.key("ppp0"), 0.0)
    assert engine.handle_timer(0.0) == engine.handle_timer(60.0) == ()


def test_the_rules_under_tcp_do_not_speak_of_udp() -> None:
    engine = _engine(*FOUR)
    udp = build.session("u", "18.31.0.4", 22, 3005, proto="udp")
    assert {row.name: row.score for row in engine.explain(udp, 0.0).links}["eth1"] == 10


def test_scores_name_the_line_that_gave_them() -> None:
    rows = _engine(*FOUR).explain(build.session("s", local_port=3005), 0.0).links
    lines = {row.name: row.reasons[-1].span for row in rows}
    text = FIGURE_10.read_text().splitlines()
    span = lines["eth0:1"]
    assert span is not None
    assert "score-interface eth0:1 100" in text[span.line - 1]
