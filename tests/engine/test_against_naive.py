"""The engine and the naive interpreter agree, always: on decisions, conditions and all that can be asked.

`make soak` goes on with other seeds for as long as one likes.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.generated_run import case_of, failure, run, smaller
from tests.engine.generated_steps import Case, case

CASES = 20_000
"""Cases of the long run, which takes less than two minutes on two cores."""

BLOCK = 250


def agreeing(start: int) -> int:
    """Run a block of cases and return how many there were; a case that fails is shown as small as it gets."""
    for seed in range(start, start + BLOCK):
        problem = failure(case_of(seed))
        if problem is not None:
            shown = smaller(case_of(seed), lambda trial: failure(trial) is not None)
            raise AssertionError(f"seed {seed}: {failure(shown)!r}\n{shown}")
    return BLOCK


def test_the_engine_agrees_with_the_naive_interpreter() -> None:
    assert agreeing(0) == BLOCK


@pytest.mark.slow
@pytest.mark.alone
def test_they_agree_over_twenty_thousand_cases() -> None:
    blocks = range(BLOCK, BLOCK + CASES, BLOCK)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        assert sum(pool.map(agreeing, blocks)) >= CASES


@settings(max_examples=100, deadline=None, database=None)
@given(st.randoms(use_true_random=False).map(case))
def test_they_agree_over_cases_that_hypothesis_makes_up(made_up: Case) -> None:
    run(made_up)


def test_a_failing_case_is_made_smaller() -> None:
    """Whoever reads a failure needs its cause and no more."""
    whole = case(Random(3))
    wanted = whole.steps[-1]
    small = smaller(whole, lambda trial: wanted in trial.steps)
    assert small.steps == (wanted,)
    assert sum(len(body) for _, _, body in small.policy.files) == 0
