"""The oracle itself, against timelines worked out by hand: an oracle that is wrong proves nothing."""

from __future__ import annotations

from math import inf

import pytest

from monitors.events import FactMeasured, LinkGone
from policylang import parse_policy
from policylang.ast import Layer, Policy
from tests.engine import build
from tests.engine.generated import Texts
from tests.engine.naive import Naive


def policy_of(body: str) -> Policy:
    result = parse_policy(f"monitor-policy {{ {body} }}")
    assert result.policy is not None, result.diagnostics
    return result.policy


def told(body: str, *facts: tuple[float, float | None]) -> Naive:
    """Return the oracle after `hour` was measured so; the time stands first."""
    naive = Naive(policy_of(body))
    for at, value in facts:
        naive.event(FactMeasured(fact="hour", value=value), at)
    return naive


def on_at(naive: Naive, *times: float) -> list[bool]:
    found = []
    for at in times:
        naive.facts.advance(at)
        found.append(bool(naive.facts.on))
    return found


@pytest.mark.parametrize(
    ("condition", "facts", "times", "expected"),
    [
        # Unknown is false, whatever the operator.
        ("hour != 5", [], [0], [False]),
        ("hour != 5", [(0, 4), (1, None)], [1], [False]),
        # Without a time it follows at once.
        ("hour > 5", [(0, 6)], [0], [True]),
        ("hour > 5", [(0, 6), (3, 5)], [3], [False]),
        # `for` must have held without a break; an equal value is none, another may be.
        ("hour > 5 for 2s", [(0, 6)], [1.5, 2], [False, True]),
        ("hour > 5 for 2s", [(0, 6), (1, 6)], [2], [True]),
        ("hour > 5 for 2s", [(0, 6), (1, 7)], [2], [True]),
        ("hour > 5 for 2s", [(0, 6), (1, 5), (1, 6)], [2, 3], [False, True]),
        # Between the thresholds it stays as it is.
        ("hour > 5 until hour < 3", [(0, 4)], [9], [False]),
        ("hour > 5 until hour < 3", [(0, 6), (1, 4)], [9], [True]),
        ("hour > 5 until hour < 3", [(0, 6), (1, 2)], [1], [False]),
        # The other threshold has its own time; unknown ends it at once.
        ("hour > 5 until hour < 3 for 4s", [(0, 6), (1, 2)], [4.5, 5], [True, False]),
        ("hour > 5 until hour < 3 for 4s", [(0, 6), (1, 2), (2, None)], [2], [False]),
        ("hour > 5 until hour < 3 for 4s", [(0, 6), (1, 2), (2, 4), (3, 2)], [6.5, 7], [True, False]),
        # Due at the very moment of the news: it was on before it hears of it.
        ("hour > 5 for 2s until hour < 3", [(0, 6), (2, 4)], [2], [True]),
        # Both hold: not yet.
        ("hour > 5 until hour > 7", [(0, 8)], [9], [False]),
        ("hour > 5 for 2s until hour > 7", [(0, 8), (1, 6)], [2.5, 3], [False, True]),
    ],
)
def test_a_trigger(
    condition: str, facts: list[tuple[float, float | None]], times: list[float], expected: list[bool]
) -> None:
    assert on_at(told(f"when {condition} margin 2", *facts), *times) == expected


def test_a_value_is_known_until_its_lifetime_is_over() -> None:
    naive = Naive(policy_of("when hour > 5 for 2s margin 2"))
    naive.event(FactMeasured(fact="hour", value=6.0, lifetime_s=3), 0)
    assert on_at(naive, 1.5, 2, 2.5, 3) == [False, True, True, False]


def test_measured_again_in_time_it_is_known_on() -> None:
    naive = Naive(policy_of("when hour > 5 for 2s margin 2"))
    for at in (0, 2.5):
        naive.event(FactMeasured(fact="hour", value=6.0, lifetime_s=3), at)
    assert on_at(naive, 4, 5.5) == [True, False]


def test_it_is_as_old_as_its_measurement() -> None:
    naive = Naive(policy_of("when hour > 5 for 2s margin 2"))
    naive.event(FactMeasured(fact="hour", value=6.0, lifetime_s=5, measured_at=1), 3)
    naive.event(FactMeasured(fact="hour", value=2.0, measured_at=0.5), 4)
    assert on_at(naive, 4.5, 5, 5.9, 6) == [False, True, True, False]
    naive.event(FactMeasured(fact="hour", value=6.0, measured_at=7), 7)
    naive.event(FactMeasured(fact="hour", value=6.0, lifetime_s=1, measured_at=8), 9)
    assert on_at(naive, 20) == [False]


def test_what_is_avoided_counts_only_among_its_like() -> None:
    naive = Naive(policy_of("score-interface e* 9 score-interface eth* avoid score-interface eth1 never"))
    for place in ("eth0", "eth1", "ppp0"):
        naive.event(build.link(place), 0)
        naive.event(build.present(place), 0)
    naive.add(build.session(), build.key("eth0"), suspended=False)
    eth0, eth1, ppp0 = map(build.key, ("eth0", "eth1", "ppp0"))
    assert naive.table("s", 0) == {eth0: (9, False), eth1: (9, False), ppp0: (0, True)}
    assert naive.tick(0) == {("s", "move", ppp0, False)}
    naive.event(build.link("ppp0", carrier=False), 1)
    assert naive.table("s", 1) == {eth0: (9, True), eth1: (9, False), ppp0: (0, False)}


def test_called_late_it_was_on_in_between() -> None:
    naive = Naive(policy_of("when hour > 5 for 2s until hour < 3 margin 2"))
    naive.event(FactMeasured(fact="hour", value=6.0), 0)
    naive.event(FactMeasured(fact="hour", value=4.0), 50)
    assert on_at(naive, 50) == [True]


def test_time_alone_changes_it_when_said() -> None:
    naive = told("when hour > 5 for 2s margin 2", (1, 6))
    assert naive.facts.next_change() == 3
    assert on_at(naive, 3) == [True]
    assert naive.facts.next_change() == inf


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # The clock goes on under a new time, shorter or longer.
        ("hour > 5 for 9s", "hour > 5 for 4s", [(3, False), (4, True)]),
        ("hour > 5 for 2s", "hour > 5 for 9s", [(3, True)]),
        # Another pair starts its clock at the reload.
        ("hour > 5 for 4s", "hour > 4 for 4s", [(6.5, False), (7, True)]),
        ("hour > 5 for 4s", "hour > 5 for 4s until hour < 3", [(6.5, False), (7, True)]),
        # The units in which a value is written make no other pair.
        ("hour > 5", "hour > 5.0", [(3, True)]),
    ],
)
def test_a_reload(old: str, new: str, expected: list[tuple[float, bool]]) -> None:
    naive = told(f"when {old} margin 2", (0, 6))
    naive.reload(policy_of(f"when {new} margin 2"), 3)
    assert [(at, *on_at(naive, at)) for at, _ in expected] == expected


def test_a_reload_keeps_the_state_between_the_thresholds() -> None:
    body = "when hour > 5 until hour < 3 {} margin 2"
    naive = told(body.format(""), (0, 6), (1, 4))
    naive.reload(policy_of(body.format("for 9s")), 3)
    assert on_at(naive, 3) == [True]


def test_facts_end_with_what_they_are_about() -> None:
    body = "when metered = yes score-interface * 9 when rtt > 1s score-interface * 8 when rto > 1s margin 3"
    naive = Naive(policy_of(body))
    for event in (build.link("eth0"), build.present("eth0")):
        naive.event(event, 0)
    naive.add(build.session(), build.key("eth0"), suspended=False)
    facts = (
        FactMeasured(fact="metered", value=True, interface="eth0"),
        FactMeasured(fact="rtt", value=2.0, interface="eth0", peer="192.0.2.9"),
        FactMeasured(fact="rto", value=2.0, session="s", connection="1"),
        FactMeasured(fact="rto", value=2.0, session="nobody", connection="1"),
        FactMeasured(fact="rtt", value=2.0, interface="eth0", peer="192.0.2.77"),
    )
    for fact in facts:
        naive.event(fact, 1)
    assert len(naive.facts.on) == 3
    naive.remove("s", 2)
    assert len(naive.facts.on) == 1
    naive.event(build.gone("eth0"), 3)
    assert len(naive.facts.on) == 1
    naive.event(LinkGone(interface="eth0", index=2), 4)
    assert not naive.facts.on


def test_a_condition_about_links_is_judged_for_each() -> None:
    naive = Naive(policy_of("score-interface * 5 when metered = yes score-interface * 1"))
    for name in ("eth0", "ppp0"):
        naive.event(build.link(name), 0)
        naive.event(build.present(name), 0)
    naive.add(build.session(), build.key("eth0"), suspended=False)
    naive.event(FactMeasured(fact="metered", value=True, interface="ppp0"), 0)
    scores = {point[0]: row[0] for point, row in naive.table("s", 0).items()}
    assert scores == {"eth0": 5, "ppp0": 1}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({}, None),
        ({Layer.DEFAULT: ("expire after 1s",)}, 1.0),
        ({Layer.DEFAULT: ("expire after 1s",), Layer.USER: ("expire after 4s",)}, 4.0),
        ({Layer.SYSTEM: ("expire after 1s", "expire after 4s"), Layer.USER: ("expire never",)}, 4.0),
        ({Layer.SYSTEM: ("expire after 4s",), Layer.APPLICATION: ("expire after 2s",)}, 2.0),
        ({Layer.SYSTEM: ("expire after 4s",), Layer.USER: ("on port 23 expire after 2s",)}, 4.0),
        ({Layer.DEFAULT: ("expire after 1s",), Layer.SYSTEM: ("expire never",)}, inf),
    ],
)
def test_across_layers_the_shortest_expiry_holds_and_the_default_is_no_bound(
    layers: dict[Layer, tuple[str, ...]], expected: float | None
) -> None:
    files = [(layer, layer.value, body) for layer, body in layers.items()]
    policy = Texts(tuple(files)).load() if files else policy_of("margin 1")
    assert Naive(policy).verdicts(build.session(), live=False)["expire"] == expected
