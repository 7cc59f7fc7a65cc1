"""The named properties of docs/semantics.md, one test or more each."""

from __future__ import annotations

from engine import Decision, Engine, Move, Resume, Suspend
from tests.engine import build
from tests.engine.build import engine_with, key, link, score


def _moves(decisions: tuple[Decision, ...]) -> list[tuple[str, str, bool]]:
    return [(d.session, d.to.name, d.urgent) for d in decisions if isinstance(d, Move)]


def _started(engine: Engine, place: str, now: float = 0.0) -> Engine:
    engine.add_session(build.session(), key(place), now)
    return engine


def test_last_statement_wins() -> None:
    engine = engine_with(["eth0", "eth1"], score("eth0", 500), score("eth1", 10), score("eth*", 3))
    assert [row.score for row in _started(engine, "eth0").scores("s")] == [3, 3]


def test_additions_count_from_the_last_number() -> None:
    engine = engine_with(["eth0"], score("*", "+7"), score("*", 10), score("eth*", "+5"), score("*", "-1"))
    assert _started(engine, "eth0").scores("s")[0].score == 14


def test_never_outranks_any_score_before_and_after_it() -> None:
    engine = engine_with(["eth0", "ppp0"], score("ppp0", "never", 7), score("ppp0", 1_000_000))
    _started(engine, "eth0")
    assert engine.handle_timer(60.0) == ()
    row = engine.scores("s")[1]
    assert not row.eligible
    assert [str(reason.span) for reason in row.reasons] == ["test.policy:7"]
    (decision,) = engine.handle(link("eth0", carrier=False), 61.0)
    assert isinstance(decision, Suspend)


def test_avoid_outranks_any_score_but_not_the_lack_of_anything_else() -> None:
    engine = engine_with(["eth0", "ppp0"], score("ppp0", "avoid", 7), score("ppp0", 1_000_000, 8))
    _started(engine, "eth0")
    assert engine.handle_timer(60.0) == ()
    row = engine.scores("s")[1]
    assert (row.eligible, row.why_not) == (False, "a last resort, and there is another link")
    assert [str(reason.span) for reason in row.reasons] == ["test.policy:7"]
    assert _moves(engine.handle(link("eth0", carrier=False), 61.0)) == [("s", "ppp0", True)]
    engine.session_moved("s", key("ppp0"), 61.0)
    row = engine.scores("s")[1]
    assert (row.eligible, row.score) == (True, 1_000_000)
    assert [str(reason.span) for reason in row.reasons] == ["test.policy:8", "test.policy:7"]
    assert _moves(engine.handle(link("eth0"), 62.0)) == [("s", "eth0", False)]


def test_the_current_link_wins_ties_even_with_margin_0() -> None:
    engine = engine_with(["eth0", "eth1"], score("*", 5), build.margin(0), build.settle(0))
    assert _started(engine, "eth1").handle_timer(60.0) == ()
    assert _moves(engine.handle(link("eth1", carrier=False), 61.0)) == [("s", "eth0", True)]


def test_a_challenger_must_lead_by_the_margin() -> None:
    short = engine_with(["eth0", "ppp0"], score("eth0", 14), score("ppp0", 5), build.margin(10))
    enough = engine_with(["eth0", "ppp0"], score("eth0", 15), score("ppp0", 5), build.margin(10))
    for engine in (short, enough):
        _started(engine, "ppp0").handle_timer(0.0)
    assert short.handle_timer(60.0) == ()
    assert _moves(enough.handle_timer(60.0)) == [("s", "eth0", False)]


def test_unknown_is_not_bad() -> None:
    """An `on` about a user that nobody knows holds neither as it is nor with `not`."""
    unknown = (
        build.on("user ann", score("eth0", "never")),
        build.on("user not ann", score("eth0", "never")),
        build.on("app not ssh", build.migrate(False)),
    )
    engine = _started(engine_with(["eth0"], *unknown), "eth0")
    assert engine.scores("s")[0].eligible
    assert isinstance(engine.handle(link("eth0", up=False), 1.0)[0], Suspend)


def test_no_flapping() -> None:
    """Two links that swap places faster than `settle` cause no move."""
    engine = _started(engine_with(["ppp0", "eth0"], score("eth0", 10)), "ppp0")
    for second in range(40):
        engine.handle(link("eth0", carrier=second % 2 == 0), float(second))
        assert engine.handle_timer(second + 0.5) == ()


def test_a_challenger_that_comes_and_goes_does_not_keep_a_steady_one_waiting() -> None:
    engine = engine_with(["ppp0", "eth0"], score("eth0", 10), score("eth1", 20))
    engine.handle(build.present("eth1"), 0.0)
    _started(engine, "ppp0").handle_timer(0.0)
    engine.handle(link("eth1"), 1.5)
    assert _moves(engine.handle_timer(2.0)) == [("s", "eth0", False)]


def test_a_link_in_use_that_is_lost_is_left_at_once() -> None:
    engine = _started(engine_with(["ppp0", "eth0"], build.settle(60), score("eth0", 10)), "eth0")
    assert _moves(engine.handle(link("eth0", carrier=False), 1.0)) == [("s", "ppp0", True)]


def test_fail_back_reaches_existing_sessions() -> None:
    engine = _started(engine_with(["ppp0", "eth0"], score("eth0", 10)), "eth0")
    engine.handle(link("eth0", carrier=False), 10.0)
    engine.session_moved("s", key("ppp0"), 10.1)
    assert engine.handle(link("eth0"), 50.0) == ()
    assert engine.next_deadline() == 52.0
    assert engine.handle_timer(51.9) == ()
    assert _moves(engine.handle_timer(52.0)) == [("s", "eth0", False)]


def test_a_reload_restarts_no_timer() -> None:
    engine = _started(engine_with(["ppp0", "eth0"], score("eth0", 10)), "ppp0")
    engine.handle_timer(0.0)
    assert engine.replace_policy(build.policy(score("eth0", 20)), 1.5) == ()
    assert engine.next_deadline() == 2.0
    assert _moves(engine.handle_timer(2.0)) == [("s", "eth0", False)]


def test_a_reload_restarts_no_delay_and_repeats_no_decision() -> None:
    rules = (build.delay(3), score("eth0", 10))
    engine = _started(engine_with(["ppp0", "eth0"], *rules), "eth0")
    engine.handle(link("eth0", carrier=False), 10.0)
    assert engine.replace_policy(build.policy(*rules), 12.0) == ()
    assert _moves(engine.handle_timer(13.0)) == [("s", "ppp0", True)]
    assert engine.replace_policy(build.policy(*rules), 14.0) == ()


def test_all_links_lost_and_back_again_every_session_resumes() -> None:
    engine = engine_with(["ppp0", "eth0"], score("eth0", 10))
    for number in range(20):
        place = "eth0" if number % 2 else "ppp0"
        engine.add_session(build.session(f"s{number}"), key(place), 0.0)
    engine.handle_timer(0.0)
    lost = engine.handle(link("eth0", carrier=False), 1.0) + engine.handle(link("ppp0", carrier=False), 1.1)
    suspended = [d.session for d in lost if isinstance(d, Suspend)]
    assert len(suspended) == 20
    for name in suspended:
        engine.session_suspended(name, 1.2)
    assert engine.handle_timer(100.0) == ()
    back = engine.handle(link("ppp0"), 101.0)
    assert {(d.session, d.to.name) for d in back if isinstance(d, Resume)} == {
        (f"s{number}", "ppp0") for number in range(20)
    }


def test_a_point_usable_again_within_the_delay_causes_no_move() -> None:
    engine = _started(engine_with(["ppp0", "eth0"], build.delay(3)), "eth0")
    assert engine.handle(link("eth0", carrier=False), 1.0) == ()
    assert engine.handle(link("eth0"), 3.0) == ()
    assert engine.handle_timer(60.0) == ()


def test_suspension_waits_and_can_be_forbidden() -> None:
    patient = _started(engine_with(["eth0"], build.suspend(30)), "eth0")
    never = _started(engine_with(["eth0"], build.suspend(None)), "eth0")
    for engine in (patient, never):
        assert engine.handle(link("eth0", carrier=False), 1.0) == ()
        assert engine.handle_timer(30.9) == ()
    assert isinstance(patient.handle_timer(31.0)[0], Suspend)
    assert never.handle_timer(1e6) == ()


def test_migrate_never_is_not_moved_nor_suspended_and_resumes_only_where_it_was() -> None:
    engine = engine_with(["ppp0", "eth0"], build.migrate(False))
    engine.add_session(build.session(), key("eth0"), 0.0, suspended=True)
    engine.handle(link("eth0", carrier=False), 0.0)
    assert engine.handle_timer(1.0) == ()
    (decision,) = engine.handle(link("eth0"), 2.0)
    assert isinstance(decision, Resume)
    assert decision.to.name == "eth0"
    engine.session_moved("s", key("eth0"), 3.0)
    assert engine.handle(link("eth0", carrier=False), 4.0) == ()


def test_migrate_always_takes_an_earlier_never_back() -> None:
    engine = engine_with(["ppp0", "eth0"], build.migrate(False), build.migrate(True))
    _started(engine, "eth0")
    assert _moves(engine.handle(link("eth0", carrier=False), 1.0)) == [("s", "ppp0", True)]


def test_current_scores_the_point_in_use_alone() -> None:
    engine = engine_with(["ppp0", "eth0"], score("eth0", 10), score("current", "+20"))
    _started(engine, "ppp0")
    assert {row.name: row.score for row in engine.scores("s")} == {"ppp0": 20, "eth0": 10}
    assert engine.handle_timer(60.0) == ()
