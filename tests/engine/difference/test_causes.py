"""Of many differences the first few tell of every change."""

from __future__ import annotations

from engine.difference import Difference, compare
from policylang import parse_policy
from policylang.ast import Policy

COMMON = """\
    when metered = yes
        score-interface * -30
    when rtt > 300ms for 10m
        score-interface * -20
"""
WLAN = "score-interface wlan0 30\n"
PPP = "score-interface ppp0 40\n"


def policy(text: str, file: str) -> Policy:
    result = parse_policy(f"monitor-policy {{\n{COMMON}{text}}}", file)
    assert result.policy is not None, result.diagnostics
    return result.policy


def told(old: str, new: str) -> list[set[str]]:
    """Return for each difference the lines behind it, without those above the two texts."""
    return [_lines(difference) for difference in compare(policy(old, "old"), policy(new, "new"))]


def _lines(difference: Difference) -> set[str]:
    spans = (*difference.old.spans, *difference.new.spans)
    return {str(span) for span in spans if span.line > len(COMMON.splitlines()) + 1}


def test_each_changed_line_comes_once_before_any_comes_again() -> None:
    found = told(WLAN + PPP + "expire after 7d\n", "score-interface wlan0 -31\n" + PPP + "expire after 6d\n")
    assert len(found) > 5
    assert {"old:6", "new:6"} <= found[0]
    assert found[1] == {"old:8", "new:8"}


def test_every_difference_is_told_once() -> None:
    found = compare(policy(WLAN + PPP, "old"), policy(PPP, "new"))
    assert len({(d.topic, d.candidates, d.old, d.new) for d in found}) == len(found) > 5


def test_what_stands_elsewhere_now_is_no_cause() -> None:
    assert told(WLAN + PPP + "settle 5s\n", "settle 7s\n" + PPP + WLAN) == [{"old:8", "new:6"}]


def test_an_order_that_has_changed_is_told() -> None:
    first, *_ = told(
        "score-interface wlan0 3\n" + "score-interface wlan0 -4\n",
        "score-interface wlan0 -4\nscore-interface wlan0 3\n",
    )
    assert {"old:7", "new:7"} <= first
