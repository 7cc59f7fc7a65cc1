"""The token bucket and the back-off."""

from __future__ import annotations

from sessionlayer.protocol.limits import TokenBucket
from sessionlayer.protocol.retry import Backoff


def test_a_bucket_allows_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=2.0, burst=3, now=10.0)
    assert [bucket.take(10.0) for _try in range(4)] == [True, True, True, False]
    assert not bucket.take(10.4)
    assert bucket.take(10.6)
    assert not bucket.full(10.6)
    assert bucket.full(20.0)
    assert [bucket.take(20.0) for _try in range(4)] == [True, True, True, False]


def test_a_clock_that_stands_still_or_goes_back_earns_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1.0, burst=1, now=5.0)
    assert bucket.take(5.0)
    assert not bucket.take(1.0)
    assert not bucket.take(5.5)
    assert bucket.take(6.1)


def test_repetitions_double_up_to_a_second_for_ever() -> None:
    backoff, now, gaps = Backoff(0.0), 0.0, []
    for _repetition in range(2000):
        gaps.append(round((backoff.due - now) * 1000))
        now = backoff.due
        backoff.again(now)
    assert gaps[:8] == [20, 40, 80, 160, 320, 640, 1000, 1000]
    assert gaps[-1] == 1000
