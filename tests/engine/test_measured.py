from __future__ import annotations

from engine import Engine
from monitors.events import LinkGone
from policylang.ast import Policy
from tests.engine import build
from tests.engine.build import fact
from tests.monitors.samples import address, link

PEER = "192.0.2.9"


def test_all_that_is_measured_is_told_with_when() -> None:
    engine = Engine(Policy(files=(), statements=()))
    assert engine.measured() == ()
    for event in (link(2, "eth0"), address("10.0.0.1", 2, "eth0")):
        engine.handle(event, 0.0)
    engine.add_session(build.session("s"), ("eth0", "10.0.0.1"), 0.0)
    told = (
        fact("addresses", 1, interface="eth0", measured_at=0.0),
        fact("carrier", True, interface="eth0", measured_at=0.0),
        fact("hour", 7.0, measured_at=2.0),
        fact("keepalive-age", 1.0, 3.0, session="s", measured_at=2.0),
        fact("on-battery", True, 5.0, measured_at=1.5),
        fact("operstate", "up", interface="eth0", measured_at=0.0),
        fact("rto", 0.2, session="s", connection="1", measured_at=2.0),
        fact("rtt", 0.1, interface="eth0", peer=PEER, measured_at=2.0),
    )
    for measurement in told:
        engine.handle(measurement, 2.0)
    assert engine.measured() == told


def test_what_follows_from_links_was_measured_when_it_became_so() -> None:
    engine = build.engine_of(["eth0", "ppp0"])
    engine.handle(build.link("ppp0", carrier=False), 5.0)
    at = {(f.fact, f.interface): f.measured_at for f in engine.measured()}
    assert at["carrier", "ppp0"] == at["operstate", "ppp0"] == 5.0
    assert at["carrier", "eth0"] == at["addresses", "ppp0"] == 0.0


def test_what_is_not_known_any_more_is_not_told() -> None:
    engine = Engine(Policy(files=(), statements=()))
    engine.handle(link(2, "eth0"), 0.0)
    engine.handle(fact("on-battery", True, 5.0), 0.0)
    hour = fact("hour", 7.0, measured_at=1.0)
    engine.handle(hour, 1.0)
    engine.handle(LinkGone(interface="eth0", index=2), 5.0)
    assert engine.measured() == (hour,)


def _values(engine: Engine) -> dict[str, object]:
    return {told.fact: told.value for told in engine.measured()}


def test_a_lifetime_begins_when_the_value_was_measured() -> None:
    engine = Engine(Policy(files=(), statements=()))
    engine.handle(fact("battery", 50.0, 10.0, measured_at=3.0), 8.0)
    assert engine.next_deadline() == 13.0
    engine.handle_timer(13.0)
    assert _values(engine) == {}


def test_a_value_that_is_over_already_is_not_known_and_neither_is_the_one_before() -> None:
    engine = Engine(Policy(files=(), statements=()))
    engine.handle(fact("battery", 50.0, measured_at=1.0), 1.0)
    engine.handle(fact("battery", 40.0, 2.0, measured_at=5.0), 7.0)
    assert _values(engine) == {}


def test_a_measurement_that_was_overtaken_is_not_taken_in() -> None:
    engine = Engine(Policy(files=(), statements=()))
    engine.handle(fact("battery", 50.0, measured_at=5.0), 6.0)
    for value, lifetime_s in ((40.0, None), (None, None), (40.0, 0.5)):
        engine.handle(fact("battery", value, lifetime_s, measured_at=4.0), 7.0)
        assert _values(engine) == {"battery": 50.0}


def test_a_time_that_has_not_come_is_now() -> None:
    engine = Engine(Policy(files=(), statements=()))
    engine.handle(fact("battery", 50.0, 1.0, measured_at=1e9), 6.0)
    assert engine.next_deadline() == 7.0
    engine.handle(fact("battery", 40.0), 6.5)
    assert _values(engine) == {"battery": 40.0}


def test_the_clocks_of_a_condition_begin_when_a_value_is_heard_of() -> None:
    engine = build.engine_of(["eth0"], "when on-battery = yes for 3s migrate never")
    engine.add_session(build.session("s"), build.key("eth0"), 0.0)
    engine.handle(fact("on-battery", True, measured_at=1.0), 10.0)
    engine.handle_timer(12.9)
    assert not engine.explain("s", 12.9).conditions[0].holds
    engine.handle_timer(13.0)
    assert engine.explain("s", 13.0).conditions[0].holds
