from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitors.reporting import FLOOD_RATE, FLOOD_S, FloodGauge


def floods(rates: list[int]) -> bool:
    """Return whether so many events in each second are a flood at the beginning of the next one."""
    gauge = FloodGauge()
    for second, rate in enumerate(rates, 100):
        for number in range(rate):
            gauge.is_flood(second + number / (rate + 1))
    return gauge.is_flood(100.0 + len(rates))


def test_a_burst_is_no_flood() -> None:
    assert not floods([50 * FLOOD_RATE, 0, 50 * FLOOD_RATE])


def test_the_rate_itself_may_go_on_for_ever() -> None:
    assert not floods([FLOOD_RATE] * (3 * FLOOD_S))


@given(st.lists(st.sampled_from([0, 1, FLOOD_RATE + 1]), max_size=2 * FLOOD_S))
def test_a_flood_is_too_much_in_each_of_so_many_seconds_in_a_row(rates: list[int]) -> None:
    last = rates[-FLOOD_S:]
    assert floods(rates) is (len(last) == FLOOD_S and min(last) > FLOOD_RATE)


def test_what_exceeds_the_rate_is_counted_by_the_second() -> None:
    gauge = FloodGauge()
    for _ in range(FLOOD_RATE + 3):
        gauge.is_flood(7.5)
    assert gauge.excess == 3
    gauge.is_flood(8.0)
    assert gauge.excess == 0
