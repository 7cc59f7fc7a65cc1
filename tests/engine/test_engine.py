"""The engine as the daemon uses it: reports, failures, repetition, questions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from engine import CompiledPolicy, Engine, Move, Resume, SessionDescription, Suspend
from monitors.events import Event, LinkGone
from policylang import parse_policy
from tests.engine import build
from tests.engine.build import engine_of, engine_with, key, link, present, score, session


def _two_links() -> Engine:
    engine = engine_with(["eth0", "ppp0"], score("eth0", 10))
    engine.add_session(session(), key("eth0"), 0.0)
    assert engine.handle_timer(0.0) == ()
    return engine


def test_a_decision_is_given_once() -> None:
    engine = _two_links()
    assert len(engine.handle(link("eth0", carrier=False), 1.0)) == 1
    assert engine.handle(link("eth0", carrier=False, up=False), 2.0) == ()
    assert engine.handle(link("wlan0"), 3.0) == engine.handle_timer(4.0) == ()


def test_a_decision_is_given_again_when_the_answer_was_another_between() -> None:
    engine = _two_links()
    for now in (1.0, 3.0):
        assert len(engine.handle(link("eth0", carrier=False), now)) == 1
        assert engine.handle(link("eth0"), now + 1) == ()


def test_the_position_follows_reports_not_wishes() -> None:
    engine = _two_links()
    engine.handle(link("eth0", carrier=False), 1.0)
    assert [row.name for row in engine.scores("s") if row.current] == ["eth0"]
    engine.session_moved("s", key("ppp0"), 2.0)
    assert [row.name for row in engine.scores("s") if row.current] == ["ppp0"]


def test_a_report_asks_for_the_timer_at_once() -> None:
    engine = engine_with(["eth0"])
    assert engine.next_deadline() is None
    engine.add_session(session(), key("ppp0"), 7.0)
    assert engine.next_deadline() == 7.0
    (decision,) = engine.handle_timer(7.0)
    assert isinstance(decision, Move)
    assert engine.next_deadline() is None


def test_a_failed_point_is_barred_for_5_s_doubling_to_300() -> None:
    engine = _two_links()
    now, pauses = 1.0, []
    engine.handle(link("eth0", carrier=False), now)
    for _ in range(8):
        engine.point_failed("s", key("ppp0"), now)
        assert [type(d) for d in engine.handle_timer(now)] == [Suspend]
        deadline = engine.next_deadline()
        assert deadline is not None
        assert engine.handle_timer(deadline - 0.01) == ()
        assert [type(d) for d in engine.handle_timer(deadline)] == [Move]
        pauses.append(deadline - now)
        now = deadline
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_failure_after_the_time_is_another_one_though_no_timer_ran_in_between() -> None:
    engine = _two_links()
    engine.handle(link("eth0", carrier=False), 1.0)
    engine.point_failed("s", key("ppp0"), 1.0)
    engine.handle_timer(1.0)
    engine.point_failed("s", key("ppp0"), 7.0)  # barred until 6
    assert [type(d) for d in engine.handle_timer(7.0)] == [Suspend]
    assert engine.next_deadline() == 17.0


def test_sessions_that_fail_together_double_nothing() -> None:
    engine = _two_links()
    engine.add_session(session("t"), key("eth0"), 0.0)
    engine.handle(link("eth0", carrier=False), 1.0)
    for name in ("s", "t"):
        engine.point_failed(name, key("ppp0"), 1.0)
    assert len(engine.handle_timer(1.0)) == 2
    assert engine.next_deadline() == 6.0


def test_a_failed_point_is_barred_for_that_peer_alone() -> None:
    engine = _two_links()
    engine.add_session(session("other", "192.0.2.77"), key("eth0"), 0.0)
    engine.point_failed("s", key("ppp0"), 1.0)
    decisions = engine.handle(link("eth0", carrier=False), 1.5)
    assert {d.session: type(d) for d in decisions} == {"s": Suspend, "other": Move}


def test_a_failed_move_to_a_point_is_no_reason_to_leave_it() -> None:
    engine = _two_links()
    engine.add_session(session("there"), key("ppp0"), 0.0)
    engine.handle_timer(0.0)
    engine.point_failed("s", key("ppp0"), 0.5)
    assert engine.handle_timer(0.5) == ()
    assert [row.eligible for row in engine.scores("there")] == [True, True]
    assert [row.eligible for row in engine.scores("s")] == [True, False]


@pytest.mark.parametrize(
    "event",
    [build.link("ppp0", carrier=False), build.present("ppp0", usable=False), build.gone("ppp0")],
)
def test_a_change_of_link_or_address_lets_a_failed_point_be_tried_at_once(event: Event) -> None:
    engine = _two_links()
    engine.handle(link("eth0", carrier=False), 1.0)
    engine.point_failed("s", key("ppp0"), 1.0)
    engine.handle_timer(1.0)
    assert engine.handle(present("ppp0"), 1.5) == ()  # heard twice: no change
    engine.handle(event, 2.0)
    decisions = engine.handle(link("ppp0"), 2.1) + engine.handle(present("ppp0"), 2.2)
    assert [type(d) for d in decisions] == [Move]


def test_a_move_that_works_ends_the_bar_for_all_sessions_with_that_peer() -> None:
    engine = _two_links()
    engine.add_session(session("t"), key("eth0"), 0.0)
    engine.handle(link("eth0", carrier=False), 1.0)
    engine.point_failed("s", key("ppp0"), 1.0)
    assert {type(d) for d in engine.handle_timer(1.0)} == {Suspend}
    engine.session_moved("t", key("ppp0"), 1.1)
    (decision,) = engine.handle_timer(1.1)
    assert isinstance(decision, Move)
    assert decision.session == "s"


def test_a_suspended_session_resumes_elsewhere_when_a_resume_fails() -> None:
    engine = engine_with(["eth0", "ppp0"], score("eth0", 10))
    engine.add_session(session(), key("eth0"), 0.0, suspended=True)
    (first,) = engine.handle_timer(0.0)
    engine.point_failed("s", key("eth0"), 0.5)
    (second,) = engine.handle_timer(0.5)
    assert isinstance(first, Resume)
    assert isinstance(second, Resume)
    assert (first.to.name, second.to.name) == ("eth0", "ppp0")


def test_a_bar_that_has_ended_holds_nobody_when_the_policy_is_replaced() -> None:
    engine = _two_links()
    engine.handle(link("eth0", carrier=False), 1.0)
    engine.point_failed("s", key("ppp0"), 1.0)
    engine.handle_timer(1.0)
    decisions = engine.replace_policy(build.policy(score("ppp0", 7)), 6.5)
    assert [type(d) for d in decisions] == [Move]


def test_a_removed_session_is_decided_for_no_more() -> None:
    engine = _two_links()
    engine.point_failed("s", key("ppp0"), 0.0)
    engine.remove_session("s")
    assert engine.next_deadline() is None
    assert engine.handle(link("eth0", carrier=False), 1.0) == ()
    with pytest.raises(KeyError):
        engine.session_moved("s", key("ppp0"), 2.0)


def test_the_same_session_twice_is_an_error() -> None:
    engine = _two_links()
    with pytest.raises(ValueError, match="session `s` is known already"):
        engine.add_session(session(), key("eth0"), 0.0)


def test_a_session_needs_connections_with_addresses() -> None:
    with pytest.raises(ValueError, match="no connection"):
        SessionDescription(id="empty", connections=())
    with pytest.raises(ValueError, match="nonsense"):
        session("s", "nonsense")


def test_only_points_of_the_family_of_the_peer_are_eligible() -> None:
    engine = engine_with(["eth0", "six0"])
    engine.add_session(session("four"), key("eth0"), 0.0)
    engine.add_session(session("mapped", "::ffff:192.0.2.9"), ("eth0", "::ffff:10.0.0.5"), 0.0)
    engine.add_session(session("six", "2001:db8:1::9"), key("six0"), 0.0)
    assert engine.handle_timer(0.0) == ()
    eligible = {n: [r.name for r in engine.scores(n) if r.eligible] for n in ("four", "mapped", "six")}
    assert eligible == {"four": ["eth0"], "mapped": ["eth0"], "six": ["six0"]}


def test_mapped_addresses_meet_ipv4_prefixes() -> None:
    engine = engine_with(["eth0"], build.on("remote-ip 192.0.2.0/24", score("*", 9)))
    engine.add_session(session("s", "::ffff:192.0.2.9"), key("eth0"), 0.0)
    assert engine.scores("s")[0].score == 9


def test_a_point_removed_under_a_session_is_not_eligible() -> None:
    engine = _two_links()
    (decision,) = engine.handle(build.gone("eth0"), 1.0)
    assert isinstance(decision, Move)
    assert decision.urgent
    assert "its address is not configured" in decision.reasons[0].text


def test_a_point_ruled_out_by_a_reload_is_left_without_urgency() -> None:
    engine = _two_links()
    (decision,) = engine.replace_policy(build.policy(score("eth0", "never", 77)), 1.0)
    assert isinstance(decision, Move)
    assert not decision.urgent
    assert str(decision.reasons[0].span) == "test.policy:77"


def test_a_last_resort_is_left_without_urgency_after_the_delay() -> None:
    engine = _two_links()
    avoiding = build.policy(score("eth0", "avoid", 77), build.delay(3.0))
    assert engine.replace_policy(avoiding, 1.0) == ()
    assert "a last resort, and there is another link" in engine.explain("s", 1.0).reasons[0].text
    (decision,) = engine.handle_timer(4.0)
    assert isinstance(decision, Move)
    assert not decision.urgent
    assert str(decision.reasons[0].span) == "test.policy:77"


def test_a_session_that_stays_on_a_last_resort_is_told_so() -> None:
    engine = engine_with(["eth0", "eth1"], score("eth*", "avoid", 5), score("eth0", 9, 6))
    engine.add_session(session(), key("eth0"), 0.0)
    assert engine.handle_timer(60.0) == ()
    texts = [str(reason) for reason in engine.explain("s", 60.0).reasons]
    assert texts[:2] == [
        "`eth0` scores 9 (test.policy:6)",
        "`eth0` is a last resort, by `avoid` (test.policy:5)",
    ]


def test_a_barred_link_is_no_reason_to_leave_a_last_resort() -> None:
    engine = engine_with(["eth0", "eth1"], score("eth0", "avoid"))
    engine.add_session(session(), key("eth0"), 0.0)
    assert [type(d) for d in engine.handle_timer(0.0)] == [Move]
    engine.point_failed("s", key("eth1"), 1.0)
    assert engine.handle_timer(1.0) == ()
    assert [type(d) for d in engine.handle_timer(6.0)] == [Move]


def test_a_pinned_session_resumes_on_a_last_resort() -> None:
    """For one that may go nowhere else there is no other link."""
    engine = engine_with(["eth0", "eth1"], score("eth0", "avoid"), build.migrate(False))
    engine.add_session(session(), key("eth0"), 0.0, suspended=True)
    (decision,) = engine.handle_timer(0.0)
    assert isinstance(decision, Resume)
    assert decision.to.key == key("eth0")
    assert "`migrate never` lets it go nowhere else" in decision.reasons[0].text


def test_decisions_name_their_statements() -> None:
    engine = engine_with(["eth0", "ppp0"], score("*", 1, 3), score("eth0", 10, 4))
    engine.add_session(session(), key("ppp0"), 0.0)
    engine.handle_timer(0.0)
    (decision,) = engine.handle_timer(2.0)
    lines = [reason.span.line for reason in decision.reasons if reason.span]
    assert lines == [4, 3]
    assert str(decision.reasons[0]) == "`eth0` scores 10 (test.policy:4)"


def test_adoption_is_off_unless_the_policy_says_so() -> None:
    ann = session("s", user="ann")
    silent = engine_with([]).adopts(ann)
    asked = engine_with([], build.on("user ann", build.adopt(True))).adopts(ann)
    taken_back = engine_with([], build.adopt(True), build.adopt(False)).adopts(ann)
    assert (silent.adopt, asked.adopt, taken_back.adopt) == (False, True, False)
    assert silent.reasons[0].span is None
    assert asked.reasons[0].span is not None


def test_an_explanation_names_every_link_the_winner_and_when() -> None:
    engine = engine_with(["eth0", "ppp0", "six0"], score("eth0", 10, 4))
    engine.handle(link("wlan0", carrier=False), 0.0)
    engine.handle(present("wlan0"), 0.0)
    engine.add_session(session(), key("ppp0"), 0.0)
    engine.handle_timer(0.0)
    explanation = engine.explain("s", 0.5)
    why_not = {row.name: row.why_not for row in explanation.links}
    assert why_not == {
        "eth0": "",
        "ppp0": "",
        "six0": "the peer is reached by IPv4",
        "wlan0": "the link has no carrier",
    }
    assert explanation.winner is not None
    assert (explanation.winner.name, explanation.due) == ("eth0", 2.0)
    assert type(explanation.decision).__name__ == "Stay"
    decoded = msgspec.json.decode(msgspec.json.encode(explanation))
    assert decoded["reasons"][0]["span"]["line"] == 4


def test_a_description_is_explained_at_the_point_of_its_local_address() -> None:
    explanation = engine_with(["eth0", "ppp0"]).explain(session("new", local="10.2.0.5"), 0.0)
    assert explanation.current == key("ppp0")
    assert explanation.winner is not None
    assert explanation.winner.name == "ppp0"


def test_an_explanation_changes_nothing() -> None:
    engine = _two_links()
    engine.explain("s", 50.0)
    engine.handle(link("eth0", carrier=False), 51.0)
    engine.explain("s", 52.0)
    assert engine.handle_timer(53.0) == ()
    assert engine.next_deadline() is None


def test_links_are_listed_with_their_scores_outside_every_on() -> None:
    engine = engine_with(["eth0", "ppp0"], score("eth0", 10), build.on("proto tcp", score("*", 99)))
    engine.handle(link("ppp0", carrier=False), 1.0)
    rows = {row.name: (row.usable, row.score) for row in engine.links()}
    assert rows == {"eth0": (True, 10), "ppp0": (False, 0)}
    assert [point.name for point in engine.points()] == ["eth0"]


def test_a_link_that_a_never_rules_out_outside_every_on_is_marked() -> None:
    engine = engine_with(["eth0", "ppp0"], score("eth0", 10), score("eth0", "never"))
    assert {row.name: row.ruled_out for row in engine.links()} == {"eth0": True, "ppp0": False}


def test_loopback_is_no_attachment_point() -> None:
    engine = engine_with([])
    engine.handle(link("eth0", loopback=True), 0.0)
    engine.handle(present("eth0"), 0.0)
    assert not engine.points()
    assert not engine.links()


def test_a_deleted_link_takes_its_addresses_along() -> None:
    engine = _two_links()
    engine.handle(LinkGone(interface="eth0", index=2), 1.0)
    engine.handle(link("eth0"), 2.0)
    assert [point.name for point in engine.points()] == ["ppp0"]


def test_one_connection_must_satisfy_every_on_around_a_statement() -> None:
    parsed = parse_policy(
        "monitor-policy { on port 22 on remote-ip 18.31.0.0/24 score-interface * 7 else score-interface * 3 }"
    )
    assert parsed.policy is not None
    split = (build.connection("18.31.0.4", 80), build.connection("192.0.2.1", 22))
    joined = (*split, build.connection("18.31.0.4", 22))
    engine = Engine(parsed.policy)
    engine.handle(link("eth0"), 0.0)
    engine.handle(present("eth0"), 0.0)
    for name, connections, expected in (("split", split, 3), ("joined", joined, 7)):
        engine.add_session(SessionDescription(id=name, connections=connections), key("eth0"), 0.0)
        assert engine.scores(name)[0].score == expected


def test_candidate_servers_are_ranked() -> None:
    engine = engine_of(
        ["eth0"],
        "score-server *.example.org 5",
        "score-server B.example.org. +2",
        "score-server 18.31.* never",
        "score-server current +1",
        "on port 80 score-server * 0",
    )
    names = ["x.net", "18.31.0.9", "y.net", "a.example.org", "b.Example.org"]
    rows = engine.servers(session(), names, current="Y.net")
    assert [(row.name, row.score, row.eligible) for row in rows] == [
        ("b.Example.org", 7, True),
        ("a.example.org", 5, True),
        ("y.net", 1, True),
        ("x.net", 0, True),
        ("18.31.0.9", 0, False),
    ]
    assert [str(reason.span) for reason in rows[0].reasons] == ["test.policy:2", "test.policy:3"]
    assert [row.name for row in engine.servers(session(port=80), names[2:])] == names[2:]
    assert engine.servers(session(port=80), ["a", "b"], current="b")[0].name == "b"


def test_servers_depend_on_what_is_measured_of_a_live_session() -> None:
    engine = engine_of(["eth0"], "when peer-silence > 10s score-server current never")
    engine.add_session(session(), key("eth0"), 0.0)
    engine.handle(build.fact("peer-silence", 11.0, session="s"), 1.0)
    assert not engine.servers("s", ["a"], "a")[0].eligible
    assert engine.servers(session(), ["a"], "a")[0].eligible


def test_programs_are_told_unless_the_policy_says_ignore() -> None:
    engine = engine_of(["eth0"], "on port 80 ignore", "when hour > 10 notify")
    engine.add_session(session(port=80), key("eth0"), 0.0)
    assert engine.notifies(session("new"))
    assert not engine.notifies("s")
    engine.handle(build.fact("hour", 11.0), 1.0)
    assert engine.notifies("s")


def test_eagerness_follows_what_is_measured() -> None:
    engine = engine_of(["eth0"], "when on-battery = yes resume lazy")
    assert engine.eager(session())
    engine.handle(build.fact("on-battery", True), 1.0)
    assert not engine.eager(session())


def test_a_compiled_policy_does_as_one_that_is_not() -> None:
    engine = Engine(CompiledPolicy(build.parsed("score-interface eth0 5")))
    for event in (link("eth0"), present("eth0")):
        engine.handle(event, 0.0)
    engine.add_session(session(), key("eth0"), 0.0)
    assert engine.scores("s")[0].score == 5
    engine.replace_policy(CompiledPolicy(build.parsed("score-interface eth0 6")), 1.0)
    assert engine.scores("s")[0].score == 6
    assert engine.handle_timer(1.0) == ()


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("remote-host www.MIT.edu.", [True, True, False, False]),
        ("remote-host *.mit.edu", [True, True, False, False]),
        ("remote-host not *.mit.edu", [False, False, True, False]),
        ('user "a*"', [True, False, False, False]),
        ("session s[01]", [True, True, False, False]),
        ("app ssh", [False, True, False, False]),
        ("app /usr/*/ssh, curl", [False, True, True, False]),
        ("app not /usr/bin/ssh", [False, False, True, False]),
    ],
)
def test_names_and_globs_of_names(condition: str, holds: list[bool]) -> None:
    told: list[dict[str, Any]] = [
        {"user": "ann", "remote_hosts": ("www.mit.edu",)},
        {"app": "/usr/bin/ssh", "remote_hosts": ("x.org", "WWW.mit.edu.")},
        {"app": "curl", "user": "bob", "remote_hosts": ("x.org",)},
        {},
    ]
    engine = engine_of(["eth0"], f"on {condition} adopt")
    found = []
    for number, values in enumerate(told):
        described = replace(build.connection(), **values)
        found.append(engine.adopts(SessionDescription(id=f"s{number}", connections=(described,))).adopt)
    assert found == holds


def test_an_else_is_looked_up_like_everything_else() -> None:
    engine = engine_of(
        ["eth0"],
        "on port 80 score-interface * 1 else on port 22 score-interface * 2 else {",
        "on remote-ip 18.0.0.0/8 score-interface * 3 else on user ann score-interface * 4",
        "on port not 443 score-interface * +10 }",
    )
    expected = {
        "web": (session("web", port=80, user="ann"), 1),
        "ssh": (session("ssh", remote="18.31.0.4", user="ann"), 2),
        "net": (session("net", remote="18.31.0.4", port=443, user="ann"), 3),
        "ann": (session("ann", port=25, user="ann"), 14),
        "bob": (session("bob", port=443, user="bob"), 0),
    }
    for name, (described, score_of_it) in expected.items():
        engine.add_session(described, key("eth0"), 0.0)
        assert engine.scores(name)[0].score == score_of_it


def test_after_a_reload_every_session_is_in_the_class_it_would_be_added_to() -> None:
    engine = engine_of(["eth0"])
    bundles = [
        (build.connection(port=22),),
        (build.connection(port=80), build.connection(port=22, local_port=3005)),
        (build.connection(port=80), build.connection(port=22)),
        (build.connection("2001:db8::1", port=22),),
    ]
    for number in range(40):
        described = SessionDescription(id=f"s{number}", connections=bundles[number % 4])
        engine.add_session(described, key("eth0"), 0.0)
    for text in ("on port 22 on l-port 3005 margin 3", "on session s7 margin 4", "on port 22 margin 5", ""):
        policy = build.parsed(text)
        engine.replace_policy(policy, 1.0)
        fresh = CompiledPolicy(policy)
        for name, live in engine._population._sessions.items():
            expected = fresh.classify(live.description).variant(frozenset()).margin
            assert engine._population.cohorts[name].group.margin == expected
        assert sum(len(cohort.members) for cohort in engine._population.cohorts.all()) == 40
