"""Which conditions can hold together, against what comes to be in histories made up at random."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Engine
from engine.difference.feasible import Trigger, measured_for, measured_for_some
from monitors.events import FactMeasured
from policylang import parse_policy
from policylang.ast import When
from tests.engine import build


def triggers(*texts: str) -> list[Trigger]:
    body = " ".join(f"when {text} score-interface * 1" for text in texts)
    policy = parse_policy(f"monitor-policy {{ {body} }}").policy
    assert policy is not None
    return [Trigger.of(s) for s in policy.statements if isinstance(s, When)]


def possible(*assigned: str) -> bool:
    """Return whether these can hold together; a `-` in front is one that does not."""
    found = triggers(*(text.removeprefix("-") for text in assigned))
    pairs = zip(found, assigned, strict=True)
    return measured_for(frozenset((t, text[0] != "-") for t, text in pairs)) is not None


@pytest.mark.parametrize(
    ("assigned", "expected"),
    [
        (["rtt > 300ms", "rtt > 200ms"], True),
        (["rtt > 300ms", "-rtt > 200ms"], False),
        (["-rtt > 300ms", "rtt > 200ms"], True),
        (["rtt > 300ms", "rtt < 300ms"], False),
        (["rtt >= 300ms", "rtt <= 300ms"], True),
        (["-rtt > 300ms", "-rtt <= 300ms"], True),  # nobody knows
        (["rtt > 300ms for 5s", "-rtt > 300ms for 2s"], False),
        (["-rtt > 300ms for 5s", "rtt > 300ms for 2s"], True),
        (["rtt > 300ms for 5s", "-rtt > 200ms for 5s"], False),
        (["rtt > 300ms for 2s", "-rtt > 200ms for 5s"], True),
        (["metered = yes", "metered = no"], False),
        (["metered = yes", "-metered != no"], False),
        (["wifi.ssid = cafe", "wifi.ssid = home"], False),
        (["-wifi.ssid = cafe", "wifi.ssid != cafe"], True),
        (["weekday != monday", "-weekday = friday", "-weekday != sunday"], True),
        (["hour > 7", "hour < 8"], False),
        (["hour > 23"], False),
        (["retransmits > 0", "retransmits < 1"], False),
        (["carrier = no"], False),
        (["operstate = down"], False),
        (["addresses = 0"], False),
        (["-addresses > 1"], True),
        (["rtt > 300ms until rtt < 200ms"], True),
        (["rtt > 300ms until rtt > 200ms"], False),
        (["rtt > 300ms until rtt < 200ms", "rtt < 200ms"], False),
        (["rtt > 300ms until rtt < 200ms for 1s", "rtt < 200ms"], True),
        (["-rtt > 300ms until rtt < 200ms", "rtt > 400ms"], False),
        (["-rtt > 300ms for 1s until rtt < 200ms", "rtt > 400ms"], True),
        (["rtt > 300ms until loss < 5%", "loss < 2%"], False),
        (["rtt > 300ms until loss < 5%", "loss > 5%"], True),
    ],
)
def test_what_can_hold_together(assigned: list[str], expected: bool) -> None:
    assert possible(*assigned) is expected


def test_for_one_connection_each_conditions_may_exclude_one_another() -> None:
    slow, fast = triggers("rto > 2s", "rto < 1s")
    both = frozenset({(slow, True), (fast, True)})
    assert measured_for(both) is None
    assert measured_for_some(both)
    assert not measured_for_some(both | {(triggers("rto > 1s")[0], False)})


HEADS = [
    f"hour {operator} {value}{hold}{until}"
    for operator in ("<", ">=", "=", "!=")
    for value in (2, 5)
    for hold in ("", " for 2s", " for 5s")
    for until in ("", " until hour = 3", " until hour > 4 for 3s")
]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(HEADS), min_size=1, max_size=4, unique=True), st.integers(0, 1 << 32))
def test_what_comes_to_be_is_possible(heads: list[str], seed: int) -> None:
    random = Random(seed)
    body = " ".join(f"when {head} score-interface * {n}" for n, head in enumerate(heads))
    policy = parse_policy(f"monitor-policy {{ {body} }}").policy
    assert policy is not None
    engine, now = Engine(policy), 0.0
    known = dict(zip((s.span for s in policy.statements), triggers(*heads), strict=True))
    for _ in range(12):
        value = random.choice([None, 1.0, 2.0, 3.0, 5.0, 7.0])
        engine.handle(FactMeasured(fact="hour", value=value), now)
        now += random.choice([0.0, 1.0, 2.0, 4.0, 6.0])
        engine.handle_timer(now)
        rows = engine.explain(build.session(), now).conditions
        assert {row.span for row in rows} == set(known)
        assert measured_for(frozenset((known[row.span], row.holds) for row in rows)) is not None
