"""Thresholds: every type and unit of a fact, and what can't be compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.facts import STANDARD_FACTS, UNITS, Fact, FactTable, FactType, FactValue, Subject
from policylang import Severity, parse_policy
from policylang.ast import Margin, Measure, ScoreInterface, When

PLUGIN = Fact(
    name="lab.quality",
    type=FactType.NUMBER,
    unit="%",
    subject=Subject.LINK,
    summary="how good it is",
    monitor="lab",
)
TABLE = FactTable.of([*STANDARD_FACTS.values(), PLUGIN])


def when(text: str) -> When:
    result = parse_policy(f"monitor-policy {{ when {text} score-interface * 1 }}", facts=lambda: TABLE)
    assert result.policy is not None, result.diagnostics
    (statement,) = result.policy.statements
    assert isinstance(statement, When)
    return statement


def problems(text: str, table: FactTable = TABLE) -> list[tuple[str, Severity, str]]:
    result = parse_policy(f"monitor-policy {{ {text} }}", facts=lambda: table)
    return [(d.code, d.severity, f"{d.message} ({d.hint})") for d in result.diagnostics]


@pytest.mark.parametrize(
    ("text", "value", "subject"),
    [
        ("rtt > 300ms", 0.3, Subject.PATH),
        ("rtt > 2s", 2.0, Subject.PATH),
        ("loss >= 5%", 5.0, Subject.PATH),
        ("wifi.signal < -75dbm", -75.0, Subject.LINK),
        ("wifi.signal < -75dBm", -75.0, Subject.LINK),
        ("throughput > 1mbit", 1e6, Subject.LINK),
        ("throughput > 1.5Mbit", 1.5e6, Subject.LINK),
        ("data-used > 2GB", 2e9, Subject.LINK),
        ("metered = yes", True, Subject.LINK),
        ("metered != false", False, Subject.LINK),
        ("on-battery = true", True, Subject.HOST),
        ("operstate = dormant", "dormant", Subject.LINK),
        ('wifi.ssid = "Home Sweet Home"', "Home Sweet Home", Subject.LINK),
        ("weekday != sunday", "sunday", Subject.HOST),
        ("hour >= 23", 23.0, Subject.HOST),
        ("retransmits > 2", 2.0, Subject.CONNECTION),
        ("keepalive-age > 1m", 60.0, Subject.SESSION),
        ("lab.quality <= 50%", 50.0, Subject.LINK),
    ],
)
def test_a_measure_is_in_the_unit_of_its_fact(text: str, value: FactValue, subject: Subject) -> None:
    threshold = when(text).threshold
    assert isinstance(threshold.value, Measure)
    assert threshold.value.value == value
    assert type(threshold.value.value) is type(value)
    assert threshold.subject is subject


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("rtt > 300", "wrong-unit", "add `d`, `h`, `m`, `ms` or `s`"),
        ("rtt > 300kb", "wrong-unit", "`kb` is not a unit of `rtt`"),
        ("hour > 3h", "wrong-unit", "`hour` has no unit"),
        ("rtt > soon", "wrong-type", "`rtt` is a number, not `soon`"),
        ("hour = monday", "wrong-type", "compare it with a number, such as `10`"),
        ("metered = 1", "wrong-type", "either `yes` or `no`"),
        ("metered = maybe", "wrong-type", "either `yes` or `no`"),
        ("wifi.ssid = 5", "wrong-type", "write it in quotes"),
        ("weekday = sundey", "unknown-value", "did you mean `sunday`?"),
        ("weekday = x", "unknown-value", "it is one of `friday`"),
        ("metered > yes", "wrong-comparison", "use `=` or `!=`"),
        ("operstate < up", "wrong-comparison", "`operstate` is a text"),
        ("rttt > 1s", "unknown-fact", "did you mean `rtt`?"),
        ("zzzzzz > 1s", "unknown-fact", "`migrate facts` lists the facts"),
        ("wifi.strength > 1", "unknown-fact", "there is no fact `wifi.strength`"),
        ("lab.qualty > 1%", "unknown-fact", "did you mean `lab.quality`?"),
        ("lap.quality > 1%", "unknown-fact", "did you mean `lab.quality`?"),
        ("rtt > 1s for 2", "bad-duration", "no unit"),
        ("rtt > 1s until rtt < 1s for -1s", "bad-duration", "negative"),
    ],
)
def test_what_cannot_be_compared(text: str, code: str, message: str) -> None:
    ((found, severity, said),) = problems(f"when {text} score-interface * 1")
    assert (found, severity) == (code, Severity.ERROR)
    assert message in said


@pytest.mark.parametrize(
    ("text", "monitor"),
    [
        ("rtt > 1s", "the monitor `probe`"),
        ("rtt > 1s until rtt < 100ms", "the monitor `probe`"),
        ("acme.load > 5", "the plugin `acme`"),
        ("acme.load > 5 until acme.load < 3", "the plugin `acme`"),
        ("modem.signal < -80dbm", "the plugin `modem`"),
    ],
)
def test_a_fact_that_nobody_measures_is_a_warning(text: str, monitor: str) -> None:
    ((code, severity, said),) = problems(f"when {text} score-interface * 1", FactTable.of([]))
    assert (code, severity) == ("unmeasured-fact", Severity.WARNING)
    assert monitor in said


def test_a_plugin_that_is_missing_leaves_the_else() -> None:
    result = parse_policy("monitor-policy { when acme.load > 5 score-interface * 1 else margin 3 }")
    assert result.policy is not None
    (statement,) = result.policy.statements
    assert isinstance(statement, Margin)


def test_both_thresholds_are_about_the_same() -> None:
    assert when("rtt > 1s until loss < 5%").until is not None
    ((code, _, said),) = problems("when rtt > 1s until metered = no score-interface * 1")
    assert code == "two-subjects"
    assert "`rtt` is about a path, `metered` about a link" in said


@pytest.mark.parametrize("fact", ["metered = yes", "rtt > 1s"])
@pytest.mark.parametrize(
    "statement",
    [
        "migrate never",
        "margin 1",
        "settle 1s",
        "delay 1s",
        "adopt",
        "suspend never",
        "expire never",
        "resume lazy",
        "ignore",
        "score-server * 1",
        "on proto tcp migrate never",
        "on proto tcp score-interface * 1 else margin 1",
        "when hour = 3 margin 1",
    ],
)
def test_only_scores_of_interfaces_depend_on_facts_about_links(fact: str, statement: str) -> None:
    ((code, severity, said),) = problems(f"when {fact} {statement}")
    assert (code, severity) == ("link-fact", Severity.ERROR)
    assert "`score-interface`" in said
    assert [found for found, _, _ in problems(f"when {fact} score-interface * 1 else {{ {statement} }}")] == [
        "link-fact"
    ]


@pytest.mark.parametrize("fact", ["hour = 3", "keepalive-age > 1s", "rto > 1s"])
def test_everything_depends_on_other_facts(fact: str) -> None:
    assert problems(f"when {fact} {{ migrate never score-server * 1 expire never }}") == []


def test_below_a_fact_about_links_the_others_still_hold() -> None:
    text = "when metered = yes { on proto tcp { when hour = 3 score-interface * never } } margin 1"
    assert problems(text) == []


def test_an_included_file_is_not_free_of_the_condition_around_it(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("monitor-policy { migrate never }")
    result = parse_policy('monitor-policy { when metered = yes include "more" }', folder=tmp_path)
    assert [d.code for d in result.diagnostics] == ["link-fact"]


UNIT_CASES = [(fact, unit) for fact in STANDARD_FACTS.values() for unit in UNITS[fact.unit]]


@given(st.sampled_from(UNIT_CASES), st.integers(0, 10**6), st.sampled_from(["<", "<=", ">", ">=", "=", "!="]))
def test_every_unit_of_every_fact(case: tuple[Fact, str], number: int, operator: str) -> None:
    fact, unit = case
    threshold = when(f"{fact.name}{operator}{number}{unit}").threshold
    assert threshold.operator == operator
    assert isinstance(threshold.value, Measure)
    assert threshold.value.value == number * UNITS[fact.unit][unit]


def test_the_times_of_a_trigger() -> None:
    found = when("rtt > 1s for 2s until rtt < 500ms for 1m")
    assert found.until is not None
    assert (found.threshold.hold_s, found.until.hold_s) == (2.0, 60.0)
    assert when("rtt > 1s").threshold.hold_s == 0.0


def test_facts_are_asked_for_only_by_a_policy_that_speaks_of_them() -> None:
    def never() -> FactTable:
        raise AssertionError

    result = parse_policy("monitor-policy { score-interface * 1 }", facts=never)
    assert result.policy is not None
    assert isinstance(result.policy.statements[0], ScoreInterface)
