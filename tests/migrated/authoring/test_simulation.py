"""The daemon that obeys at once: time, decisions, and policies that never come to rest."""

from __future__ import annotations

import pytest

from engine import Connection, Move, Resume, SessionDescription, Suspend
from migrated.authoring import simulation as simulations
from migrated.authoring.described import address_present, link_state
from migrated.authoring.simulation import EndlessError, Given, Simulation
from monitors.events import FactMeasured
from policylang import parse_policy
from policylang.ast import Policy

FAST = "monitor-policy { score-interface wlan* 10 score-interface eth* 100 }"
ETH, WLAN = ("eth0", "10.0.0.5"), ("wlan0", "10.1.0.5")


def policy(text: str) -> Policy:
    loaded = parse_policy(text, "test.policy").policy
    assert loaded is not None
    return loaded


def session(name: str = "shell", local: str = "10.0.0.5") -> SessionDescription:
    only = Connection(
        proto="tcp", local_address=local, local_port=1, remote_address="18.31.0.9", remote_port=22
    )
    return SessionDescription(id=name, connections=(only,))


def stage(text: str = FAST, *, obey: bool = True, watch: bool = False) -> Simulation:
    simulation = Simulation(policy(text), obey=obey, watch=watch)
    for index, (interface, address) in enumerate((ETH, WLAN), 1):
        simulation.event(link_state(interface, index, up=True))
        simulation.event(address_present(interface, index, address))
    assert simulation.open(session(), ETH) == []
    return simulation


def told(given: list[Given]) -> list[tuple[float, type, bool]]:
    return [(one.at, type(one.decision), one.done) for one in given]


def test_decisions_are_carried_out_at_the_instants_at_which_they_are_due() -> None:
    simulation = stage()
    simulation.advance(5.0)
    assert told(simulation.event(link_state("eth0", 1, up=False))) == [(5.0, Move, True)]
    assert simulation.places["shell"].point == WLAN
    simulation.advance(20.0)
    assert simulation.event(link_state("eth0", 1, up=True)) == []
    assert told(simulation.advance(1000.0)) == [(22.0, Move, True)]
    assert simulation.places["shell"].point == ETH
    assert simulation.places["shell"].moves == 2
    assert simulation.now == 1000.0


def test_all_links_lost_and_back() -> None:
    simulation = stage()
    given = simulation.event(link_state("eth0", 1, up=False))
    given += simulation.event(link_state("wlan0", 2, up=False))
    assert [type(one.decision) for one in given] == [Move, Suspend]
    assert simulation.places["shell"].suspended
    given = simulation.event(link_state("wlan0", 2, up=True))
    assert [type(one.decision) for one in given] == [Resume]
    assert not simulation.places["shell"].suspended


def test_a_move_that_fails_is_no_move() -> None:
    simulation = stage()
    simulation.failing.add("wlan0")
    given = simulation.event(link_state("eth0", 1, up=False))
    assert [(type(one.decision), one.done) for one in given] == [(Move, False), (Suspend, True)]
    assert simulation.places["shell"].moves == 0


def test_one_that_does_not_obey_follows_reports() -> None:
    simulation = stage(obey=False)
    assert told(simulation.event(link_state("eth0", 1, up=False))) == [(0.0, Move, False)]
    assert simulation.places["shell"].point == ETH
    simulation.failed("shell", WLAN, 0.5)
    assert told(simulation.advance(1.0)) == [(0.5, Suspend, False)]
    simulation.moved("shell", WLAN, 2.0)
    assert (simulation.places["shell"].point, simulation.now) == (WLAN, 2.0)
    simulation.suspended("shell", 3.0)
    assert simulation.places["shell"].suspended
    assert told(simulation.advance(3.0)) == [(3.0, Resume, False)]


def test_a_reload_acts_at_once_where_nothing_must_settle() -> None:
    simulation = stage()
    given = simulation.reload(policy("monitor-policy { score-interface wlan* 200 settle 0s }"))
    assert told(given) == [(0.0, Move, True)]


def test_a_session_that_ends_is_forgotten() -> None:
    simulation = stage()
    simulation.close("shell")
    assert simulation.places == {}
    assert simulation.event(link_state("eth0", 1, up=False)) == []


def test_a_policy_that_never_comes_to_rest_at_one_instant_is_told() -> None:
    with pytest.raises(EndlessError, match="sends `shell` to and fro"):
        stage("monitor-policy { score-interface current -10 settle 0s }")


def test_a_policy_that_never_comes_to_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulations, "MAX_DECISIONS", 100)
    simulation = stage("monitor-policy { score-interface current -10 settle 1ms }")
    with pytest.raises(EndlessError, match="on end"):
        simulation.advance(1e6)


def test_statements_are_reached_also_between_the_steps() -> None:
    text = "monitor-policy { when hour = 3 score-interface * 5 else score-interface * 6 }"
    simulation = stage(text, watch=True)
    assert {span.column for span in simulation.reached} == {text.rindex("score") + 1}
    simulation.event(FactMeasured(fact="hour", value=3.0, lifetime_s=1.0))
    simulation.advance(100.0)
    assert len(simulation.reached) == 2


def test_deadlines_a_rounding_error_away_are_reached() -> None:
    simulation = stage()
    simulation.event(link_state("eth0", 1, up=False))
    for number in range(1, 50):
        at = number * 10.1
        simulation.advance(at)
        simulation.event(link_state("eth0", 1, up=True))
        simulation.advance(at + 1.0 + 0.9 + 0.1 - 1e-12)
        assert simulation.places["shell"].point == ETH
        simulation.event(link_state("eth0", 1, up=False))
