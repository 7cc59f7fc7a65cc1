from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.ages import DAY_S, LIFETIME_MIN_S, STEPS_S, following, lifetime_s, reached

AGES = st.floats(min_value=0, max_value=40 * DAY_S)


@given(AGES)
def test_what_is_told_is_never_more_than_there_is(age_s: float) -> None:
    assert reached(age_s) <= age_s + 1e-6 < following(reached(age_s))


@given(AGES)
def test_a_step_is_reached_when_it_is_said_to_be(age_s: float) -> None:
    step = following(reached(age_s))
    assert reached(step) == step


@given(AGES, AGES)
def test_an_age_that_grows_is_told_as_one(one: float, other: float) -> None:
    assert reached(min(one, other)) <= reached(max(one, other))


def test_steps_grow() -> None:
    assert all(earlier < later for earlier, later in pairwise((*STEPS_S, DAY_S)))


@pytest.mark.parametrize(
    ("age_s", "step"),
    [
        (0, 0),
        (1.4, 0),
        (1.5, 1.5),
        (1.499_999_9, 1.5),
        (2.9, 2.5),
        (59, 45),
        (86_399, 43_200),
        (2.5 * DAY_S, 2 * DAY_S),
    ],
)
def test_steps(age_s: float, step: float) -> None:
    assert reached(age_s) == step


@given(AGES)
def test_a_word_outlives_the_next_ones(age_s: float) -> None:
    step = reached(age_s)
    limit = lifetime_s(step)
    if step:
        assert limit is not None
        assert limit >= max(LIFETIME_MIN_S, 2 * (following(step) - step))
    else:
        assert limit is None


def test_the_documented_steps_are_these() -> None:
    page = (Path(__file__).parents[2] / "docs" / "monitors.md").read_text()
    rows = dict(re.findall(r"^\| (seconds|minutes|hours) \| ([\d., ]+)", page, re.MULTILINE))
    unit_s = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
    told = [float(step) * unit_s[unit] for unit in unit_s for step in re.findall(r"[\d.]+", rows[unit])]
    assert tuple(told) == STEPS_S
