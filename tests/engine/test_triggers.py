"""`when`: what is measured, by whom it is judged, and when exactly it turns."""

from __future__ import annotations

import pytest

from engine import Engine, Move, SessionDescription
from monitors.events import LinkGone
from tests.engine import build
from tests.engine.build import engine_of, fact, key, link, parsed, session

METERED = "when metered = yes score-interface * -20"


def _started(engine: Engine, place: str = "eth0", *names: str) -> Engine:
    for name in names or ("s",):
        engine.add_session(session(name), key(place), 0.0)
    engine.handle_timer(0.0)
    return engine


def _scores(engine: Engine, name: str = "s") -> dict[str, int]:
    return {row.name: row.score for row in engine.scores(name)}


def _margin(engine: Engine, name: str = "s") -> int:
    """Read off what `when … margin 7` has done."""
    return engine._population.cohorts[name].group.margin.value


def _on(engine: Engine) -> bool:
    return _margin(engine) == 7


def test_a_link_fact_is_judged_for_each_attachment_point() -> None:
    engine = _started(engine_of(["eth0", "eth0:1", "wlan0"], METERED, "score-interface * +1"))
    engine.handle(fact("metered", True, interface="eth0"), 1.0)
    engine.handle(fact("metered", False, interface="wlan0"), 1.0)
    assert _scores(engine) == {"eth0": -19, "eth0:1": -19, "wlan0": 1}


def test_a_flip_about_a_link_is_decided_on() -> None:
    engine = _started(engine_of(["eth0", "wlan0"], METERED, "settle 2s"))
    assert engine.handle(fact("metered", True, interface="eth0"), 1.0) == ()
    assert engine.next_deadline() == 3.0
    (decision,) = engine.handle_timer(3.0)
    assert isinstance(decision, Move)
    assert decision.to.name == "wlan0"


def test_a_path_fact_is_judged_for_the_peer_of_each_session() -> None:
    engine = engine_of(["eth0", "wlan0"], "when rtt > 300ms score-interface * -20")
    engine.add_session(session("near", "192.0.2.9"), key("eth0"), 0.0)
    engine.handle(fact("rtt", 0.4, interface="eth0", peer="192.0.2.77"), 0.5)
    engine.add_session(session("far", "192.0.2.77"), key("eth0"), 0.6)
    assert _scores(engine, "far") == {"eth0": 0, "wlan0": 0}  # measured before anybody asked
    engine.handle(fact("rtt", 0.4, interface="eth0", peer="::ffff:192.0.2.77"), 1.0)
    assert _scores(engine, "near") == {"eth0": 0, "wlan0": 0}
    assert _scores(engine, "far") == {"eth0": -20, "wlan0": 0}
    assert [type(d) for d in engine.handle_timer(3.0)] == [Move]
    engine.remove_session("far")
    engine.add_session(session("again", "192.0.2.77"), key("eth0"), 4.0)
    assert _scores(engine, "again") == {"eth0": 0, "wlan0": 0}  # forgotten with the last of its sessions


def test_host_and_session_facts_are_judged_for_the_session() -> None:
    rules = ("when hour >= 20 margin 7", "when keepalive-age > 5s margin 8", "when rto > 1s margin 9")
    engine = _started(engine_of(["eth0"], *rules), "eth0", "a", "b")
    engine.handle(fact("hour", 21.0), 1.0)
    assert (_margin(engine, "a"), _margin(engine, "b")) == (7, 7)
    engine.handle(fact("keepalive-age", 6.0, session="a"), 2.0)
    assert (_margin(engine, "a"), _margin(engine, "b")) == (8, 7)
    engine.handle(fact("rto", 2.0, session="b", connection="1"), 3.0)
    engine.handle(fact("rto", 2.0, session="b", connection="2"), 3.0)
    engine.handle(fact("rto", 0.5, session="b", connection="2"), 4.0)
    assert (_margin(engine, "a"), _margin(engine, "b")) == (8, 9)
    engine.handle(fact("rto", None, session="b", connection="1"), 5.0)
    engine.handle(fact("hour", 1.0), 5.0)
    assert (_margin(engine, "a"), _margin(engine, "b")) == (8, 1)


def test_facts_of_a_session_go_with_it() -> None:
    engine = _started(engine_of(["eth0"], "when keepalive-age > 5s margin 7"))
    engine.handle(fact("keepalive-age", 6.0, session="s"), 1.0)
    assert _on(engine)
    engine.remove_session("s")
    engine.handle(fact("keepalive-age", 6.0, session="s"), 2.0)  # nobody's
    assert not _on(_started(engine))


def test_an_unknown_fact_makes_a_comparison_false_whatever_the_operator() -> None:
    engine = _started(engine_of(["eth0"], "when hour != 3 margin 7 else margin 5"))
    assert _margin(engine) == 5
    engine.handle(fact("hour", 4.0), 1.0)
    assert _on(engine)
    engine.handle(fact("hour", None), 2.0)
    assert _margin(engine) == 5


def test_a_value_of_another_type_compares_with_nothing() -> None:
    engine = _started(engine_of(["eth0"], "when hour != 3 margin 7", "when on-battery != yes margin 7"))
    for value in ("late", True):
        engine.handle(fact("hour", value), 1.0)
        assert not _on(engine)
    engine.handle(fact("on-battery", 0.0), 1.0)
    assert not _on(engine)


def test_for_is_without_a_break() -> None:
    engine = _started(engine_of(["eth0"], "when hour >= 20 for 5s margin 7"))
    engine.handle(fact("hour", 20.0), 1.0)
    engine.handle(fact("hour", 3.0), 5.0)
    engine.handle(fact("hour", 20.0), 5.5)
    engine.handle(fact("hour", 21.0), 7.0)  # another value for which it holds too
    assert engine.next_deadline() == 10.5
    engine.handle_timer(10.4)
    assert not _on(engine)
    engine.handle_timer(10.5)
    assert _on(engine)
    engine.handle(fact("hour", 3.0), 11.0)
    assert not _on(engine)


def test_until_holds_on_between_the_thresholds() -> None:
    engine = _started(engine_of(["eth0"], "when battery < 20% until battery > 30% for 4s margin 7"))
    states = []
    for now, value in ((1.0, 19.0), (2.0, 25.0), (3.0, 31.0), (5.0, 29.0), (6.0, 31.0)):
        engine.handle(fact("battery", value), now)
        states.append(_on(engine))
    assert states == [True] * 5
    assert engine.next_deadline() == 10.0
    engine.handle_timer(10.0)
    assert not _on(engine)
    engine.handle(fact("battery", 25.0), 11.0)
    assert not _on(engine)


def test_until_ends_at_once_when_the_fact_is_known_no_longer() -> None:
    engine = _started(engine_of(["eth0"], "when battery < 20% until battery > 30% for 4s margin 7"))
    engine.handle(fact("battery", 10.0, 3.0), 1.0)
    assert engine.next_deadline() == 4.0
    engine.handle_timer(4.0)
    assert not _on(engine)


def test_both_thresholds_together_do_not_turn_it_on() -> None:
    engine = _started(engine_of(["eth0"], "when hour > 10 for 2s until on-battery = yes margin 7"))
    engine.handle(fact("on-battery", True), 1.0)
    engine.handle(fact("hour", 11.0), 1.0)
    engine.handle_timer(60.0)
    assert not _on(engine)
    engine.handle(fact("on-battery", False), 61.0)
    assert engine.next_deadline() == 63.0
    engine.handle_timer(63.0)
    assert _on(engine)


def test_time_is_exact_however_late_the_engine_is_called() -> None:
    """On at 6 s, and off only when B has held for 3 s: the value of 2 s of life is gone before."""
    engine = _started(engine_of(["eth0"], "when hour > 10 for 5s until battery > 30% for 3s margin 7"))
    engine.handle(fact("hour", 11.0), 1.0)
    engine.handle(fact("battery", 10.0), 1.0)
    engine.handle(fact("battery", 40.0, 2.0), 100.0)
    engine.handle_timer(200.0)
    assert _on(engine)


def test_a_late_call_lets_a_value_expire_before_it_takes_in_the_next() -> None:
    engine = _started(engine_of(["eth0"], "when hour > 10 for 5s margin 7"))
    engine.handle(fact("hour", 11.0, 3.0), 1.0)
    engine.handle(fact("hour", 11.0, 3.0), 4.0)  # from 4 s on the first was unknown: a break
    assert engine.next_deadline() == 7.0
    engine.handle(fact("hour", 11.0, 30.0), 6.9)
    engine.handle_timer(8.9)
    assert not _on(engine)
    engine.handle_timer(9.0)
    assert _on(engine)


def test_an_equal_value_measured_again_breaks_no_clock() -> None:
    engine = _started(engine_of(["eth0"], "when hour > 10 for 5s margin 7"))
    for now in (1.0, 3.0, 5.0):
        engine.handle(fact("hour", 11.0, 2.5), now)
    engine.handle_timer(6.0)
    assert _on(engine)


def test_a_value_without_life_is_not_known() -> None:
    engine = _started(engine_of(["eth0"], "when hour > 10 margin 7"))
    engine.handle(fact("hour", 11.0, 0.0), 1.0)
    assert not _on(engine)


@pytest.mark.parametrize(
    ("condition", "lost"),
    [("carrier = no", True), ("operstate = down", True), ("addresses = 0", False), ("carrier = yes", False)],
)
def test_carrier_operstate_and_addresses_follow_from_the_link(condition: str, lost: bool) -> None:
    engine = _started(engine_of(["eth0", "wlan0"], f"when {condition} score-interface * 5"))
    engine.handle(fact("carrier", False, interface="wlan0"), 0.5)  # not for others to say
    engine.handle(link("eth0", carrier=False), 1.0)
    engine.handle(build.present("wlan0", usable=False), 1.0)
    expected = {"eth0": lost, "wlan0": condition in ("addresses = 0", "carrier = yes")}
    assert {name: value == 5 for name, value in _scores(engine).items()} == expected


def test_facts_of_a_link_go_with_it() -> None:
    engine = _started(engine_of(["eth0", "wlan0"], METERED))
    engine.handle(fact("metered", True, interface="wlan0"), 1.0)
    engine.handle(LinkGone(interface="wlan0", index=5), 2.0)
    for event in (link("wlan0"), build.present("wlan0")):
        engine.handle(event, 3.0)
    assert _scores(engine)["wlan0"] == 0


def test_facts_that_came_before_their_link_count_when_it_comes() -> None:
    engine = _started(engine_of(["eth0"], METERED))
    engine.handle(fact("metered", True, interface="wlan0"), 1.0)
    for event in (link("wlan0"), build.present("wlan0")):
        engine.handle(event, 3.0)
    assert _scores(engine)["wlan0"] == -20


def test_a_nested_else_is_read_for_the_points_where_it_is_off() -> None:
    body = "when metered = yes score-interface * 9 else score-interface * 4"
    engine = _started(engine_of(["eth0", "wlan0"], f"when hour > 10 {{ {body} }}"))
    engine.handle(fact("metered", True, interface="eth0"), 1.0)
    engine.handle(fact("hour", 11.0), 1.0)
    assert _scores(engine) == {"eth0": 9, "wlan0": 4}
    engine.handle(fact("hour", 1.0), 2.0)
    assert _scores(engine) == {"eth0": 0, "wlan0": 0}


def test_an_on_inside_a_when_is_judged_when_the_session_is_created() -> None:
    engine = engine_of(["eth0"], "when hour > 10 on port 22 margin 7 else margin 5")
    engine.add_session(session("ssh"), key("eth0"), 0.0)
    engine.add_session(session("web", port=80), key("eth0"), 0.0)
    engine.handle(fact("hour", 11.0), 1.0)
    assert (_margin(engine, "ssh"), _margin(engine, "web")) == (7, 5)


# Over a reload.


def test_a_reload_restarts_no_clock_of_a_condition() -> None:
    engine = _started(engine_of(["eth0"], "when hour > 10 for 5s margin 7"))
    engine.handle(fact("hour", 11.0), 1.0)
    engine.replace_policy(parsed("when hour > 10 for 4s margin 7"), 3.0)
    assert engine.next_deadline() == 5.0
    engine.handle_timer(5.0)
    assert _on(engine)


def test_a_reload_keeps_what_is_on_between_the_thresholds() -> None:
    engine = _started(engine_of(["eth0"], "when battery < 20% until battery > 30% margin 7"))
    engine.handle(fact("battery", 10.0), 1.0)
    engine.handle(fact("battery", 25.0), 2.0)
    engine.replace_policy(parsed("when battery < 20% for 9s until battery > 30% for 1s margin 7"), 3.0)
    assert _on(engine)
    engine.replace_policy(parsed("when battery < 20% until battery > 31% margin 7"), 4.0)
    assert not _on(engine)


def test_a_condition_that_is_new_starts_its_clock_at_the_reload() -> None:
    engine = _started(engine_of(["eth0"], "margin 1"))
    engine.handle(fact("hour", 11.0), 1.0)
    engine.replace_policy(parsed("when hour > 10 for 5s margin 7"), 3.0)
    assert engine.next_deadline() == 8.0


def test_facts_about_paths_and_sessions_outlive_a_reload() -> None:
    engine = _started(engine_of(["eth0", "wlan0"], "margin 2"), "eth0", "a", "b")
    engine.handle(fact("rtt", 0.4, interface="eth0", peer="192.0.2.9"), 1.0)
    engine.handle(fact("keepalive-age", 6.0, session="a"), 1.0)
    rules = ("when rtt > 300ms score-interface * -20", "when keepalive-age > 5s margin 7")
    engine.replace_policy(parsed(*rules), 2.0)
    assert _scores(engine, "a") == _scores(engine, "b") == {"eth0": -20, "wlan0": 0}
    assert (_margin(engine, "a"), _margin(engine, "b")) == (7, 1)


def test_sessions_of_a_peer_share_a_cohort_whatever_is_measured_of_others() -> None:
    engine = engine_of(["eth0"], "when rtt > 300ms score-interface * -20")
    for number in range(50):
        engine.add_session(session(f"s{number}", f"192.0.2.{number % 2}"), key("eth0"), 0.0)
    engine.handle(fact("rtt", 0.4, interface="eth0", peer="192.0.2.1"), 1.0)
    assert len(engine._population.cohorts.all()) == 2
    engine.handle(fact("rtt", 0.1, interface="eth0", peer="192.0.2.1"), 2.0)
    assert len(engine._population.cohorts.all()) == 1
    assert len(engine._population.cohorts["s1"].members) == 50


# Explanations.


def test_an_explanation_says_how_every_condition_stands() -> None:
    rules = (
        "when hour > 10 for 5s margin 7",
        METERED,
        "when rto > 1s margin 3",
        "on port 80 when hour > 1 margin 4",
    )
    engine = _started(engine_of(["eth0", "wlan0"], *rules))
    engine.handle(fact("hour", 11.0), 1.0)
    engine.handle(fact("metered", True, interface="wlan0"), 2.0)
    rows = [
        (row.text, row.subject, row.value, row.holds, row.due) for row in engine.explain("s", 2.0).conditions
    ]
    assert rows == [
        ("hour > 10 for 5s", "host", 11.0, False, 6.0),
        ("metered = yes", "eth0", None, False, None),
        ("metered = yes", "wlan0", True, True, None),
        ("rto > 1s", "connection", None, False, None),
    ]
    engine.handle(fact("rto", 2.0, session="s", connection="a"), 3.0)
    last = engine.explain("s", 3.0).conditions[-1]
    assert (last.subject, last.value, last.holds) == ("connection a", 2.0, True)


def test_a_session_that_is_only_described_has_no_facts_of_its_own() -> None:
    engine = _started(engine_of(["eth0"], "when hour > 10 margin 7", "when keepalive-age > 1s adopt"))
    engine.handle(fact("hour", 11.0), 1.0)
    engine.handle(fact("keepalive-age", 5.0, session="s"), 1.0)
    holds = {row.subject: row.holds for row in engine.explain(session("s"), 1.0).conditions}
    assert holds == {"host": True, "session": False}


def test_the_statements_in_force_are_those_of_the_session_and_of_one_of_the_points() -> None:
    engine = _started(
        engine_of(
            ["eth0", "wlan0"],
            "margin 1",
            "on port 80 margin 2",
            "when hour > 10 margin 3 else margin 4",
            "when metered = yes score-interface eth* 1 else score-interface eth* 2",
        )
    )
    lines = [sorted(str(span) for span in engine.applied("s"))]
    engine.handle(fact("hour", 11.0), 1.0)
    engine.handle(fact("metered", True, interface="wlan0"), 1.0)
    found = engine.applied("s")
    lines.append(sorted(str(span) for span in found))
    assert lines[0] == ["test.policy:2", "test.policy:4", "test.policy:5"]
    assert lines[1] == ["test.policy:2", "test.policy:4", "test.policy:5", "test.policy:5"]


def test_links_are_scored_by_what_is_measured_too() -> None:
    engine = engine_of(["eth0", "wlan0"], METERED, "when hour > 10 score-interface wlan0 +3")
    engine.handle(fact("metered", True, interface="eth0"), 1.0)
    engine.handle(fact("hour", 11.0), 1.0)
    assert {row.name: row.score for row in engine.links()} == {"eth0": -20, "wlan0": 3}


def test_a_trigger_of_another_session_does_not_reach_one_of_the_same_connections() -> None:
    engine = engine_of(["eth0"], "when keepalive-age > 5s margin 7")
    for name in ("a", "b"):
        engine.add_session(SessionDescription(id=name, connections=session().connections), key("eth0"), 0.0)
    engine.handle(fact("keepalive-age", 9.0, session="b"), 1.0)
    assert (_margin(engine, "a"), _margin(engine, "b")) == (1, 7)
