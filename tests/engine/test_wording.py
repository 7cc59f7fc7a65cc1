"""Conditions are repeated in the words of a policy."""

from __future__ import annotations

import pytest

from engine.wording import condition, duration
from policylang import parse_policy
from policylang.ast import When


@pytest.mark.parametrize(
    "text",
    [
        "hour >= 22",
        "metered = yes for 10m",
        "rtt > 300ms for 5s until rtt < 200ms for 1.5s",
        "keepalive-age > 7d until keepalive-age < 1h for 250ms",
    ],
)
def test_a_condition_is_told_as_it_is_written(text: str) -> None:
    policy = parse_policy(f"monitor-policy {{ when {text} score-interface * 1 }}").policy
    assert policy is not None
    (when,) = policy.statements
    assert isinstance(when, When)
    assert condition(when) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.3, "300ms"),
        (90, "90s"),
        (120, "2m"),
        (7200, "2h"),
        (172800, "2d"),
        (5400, "90m"),
        (1234567, "1234567s"),
    ],
)
def test_durations_have_the_largest_unit_that_leaves_a_whole_number(seconds: float, text: str) -> None:
    assert duration(seconds) == text
