from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.usage import (
    LINKS_MAX,
    MONTHS_KEPT,
    WRAP,
    WRAP_MAX,
    Counted,
    Reading,
    Record,
    Usage,
    billing_month,
)

NOVEMBER, DECEMBER = "2026-11", "2026-12"


def reading(**links: tuple[int, int, int]) -> Reading:
    return Reading("first", {name: Counted(*counters) for name, counters in links.items()})


def eth0(received: int, sent: int = 0, *, index: int = 2, boot: str = "first") -> Reading:
    return Reading(boot, {"eth0": Counted(index, received, sent)})


def used(*readings: Reading, month: str = NOVEMBER) -> int:
    usage = Usage()
    for each in readings:
        usage.receive(each, month)
    return usage.used(month)["eth0"]


def test_differences_count_in_both_directions() -> None:
    assert used(eth0(1000, 500), eth0(1100, 500), eth0(1100, 507)) == 107


def test_what_was_carried_before_does_not_count() -> None:
    assert used(eth0(1 << 50, 1 << 50)) == 0


def test_what_was_carried_since_is_told() -> None:
    usage = Usage()
    assert usage.receive(eth0(1000), NOVEMBER) == {"eth0": 0}
    assert usage.receive(reading(eth0=(2, 1010, 5), ppp0=(3, 7, 7)), NOVEMBER) == {"eth0": 15, "ppp0": 0}
    assert usage.receive(reading(), NOVEMBER) == {}


ANEW = [
    ("the link was made again", eth0(30, 12, index=9)),
    ("the link was made again and has carried more", eth0(9_000, 12, index=9)),
    ("the driver was loaded again", eth0(30, 12)),
    ("the host was started again", eth0(30, 12, boot="second")),
    ("the host was started again and the link has carried more", eth0(9_000, 12, boot="second")),
]


@pytest.mark.parametrize("after", [case[1] for case in ANEW], ids=[case[0] for case in ANEW])
def test_counters_that_begin_anew_count_from_nothing(after: Reading) -> None:
    now = after.links["eth0"]
    assert used(eth0(0), eth0(1000, 1000), after) == 2000 + now.received + now.sent


def test_counters_of_32_bits_run_over() -> None:
    assert used(eth0(WRAP - 10), eth0(5)) == 15
    assert used(eth0(WRAP - 10), eth0(WRAP_MAX - 10)) == WRAP_MAX
    assert used(eth0(WRAP - 10), eth0(WRAP_MAX - 9)) == WRAP_MAX - 9  # too much: it began anew
    assert used(eth0(WRAP), eth0(5)) == 5  # it has more bits
    assert used(eth0(WRAP - 10, 100), eth0(5, 130)) == 45  # one of the two


def test_a_link_that_comes_back_goes_on() -> None:
    assert used(eth0(1000), reading(), eth0(1500)) == 500


def test_links_are_told_apart() -> None:
    usage = Usage()
    usage.receive(reading(eth0=(2, 0, 0), ppp0=(3, 0, 0)), NOVEMBER)
    usage.receive(reading(eth0=(2, 5, 0), ppp0=(3, 0, 7)), NOVEMBER)
    assert usage.used(NOVEMBER) == {"eth0": 5, "ppp0": 7}


def test_a_month_begins_at_nothing() -> None:
    usage = Usage()
    for amount, month in ((1000, NOVEMBER), (1100, NOVEMBER), (1130, DECEMBER)):
        usage.receive(eth0(amount), month)
    assert (usage.used(NOVEMBER), usage.used(DECEMBER)) == ({"eth0": 100}, {"eth0": 30})


@pytest.mark.parametrize("wrong", ["1970-01", "2026-10", "2036-02"])
def test_a_clock_that_was_set_wrong_loses_nothing(wrong: str) -> None:
    usage = Usage()
    for amount, month in ((0, NOVEMBER), (100, NOVEMBER), (101, wrong), (111, NOVEMBER)):
        usage.receive(eth0(amount), month)
    assert usage.used(NOVEMBER) == {"eth0": 110}


def test_months_that_were_not_used_for_longest_are_forgotten() -> None:
    usage = Usage()
    for number, month in enumerate(["2036-01", *(f"2026-{month:02}" for month in range(1, 13))]):
        usage.receive(eth0(100 * number), month)
    assert list(usage.record().months) == [f"2026-{month:02}" for month in range(13 - MONTHS_KEPT, 13)]


def test_links_that_were_not_there_for_longest_are_forgotten() -> None:
    usage = Usage()
    usage.receive(reading(old=(1, 0, 0), eth0=(2, 0, 0)), NOVEMBER)
    for number in range(LINKS_MAX + 10):
        usage.receive(reading(eth0=(2, number, 0), **{f"veth{number}": (number, 0, 0)}), NOVEMBER)
    kept = usage.record()
    assert len(kept.links) == len(kept.months[NOVEMBER]) == LINKS_MAX
    assert "old" not in kept.links
    assert usage.used(NOVEMBER)["eth0"] == LINKS_MAX + 9


def test_more_links_than_are_remembered_are_no_fault() -> None:
    many = {f"veth{number}": (number, 0, 0) for number in range(LINKS_MAX + 10)}
    usage = Usage()
    usage.receive(reading(**many), NOVEMBER)
    assert len(usage.record().links) == LINKS_MAX


_COUNTERS = st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)), min_size=1, max_size=8)


@given(_COUNTERS, st.integers(0, 8))
def test_a_restart_of_the_program_changes_nothing(counters: list[tuple[int, int]], restart: int) -> None:
    readings = [eth0(received, sent) for received, sent in counters]
    usage = Usage()
    for number, each in enumerate(readings):
        if number == restart:
            usage = Usage(usage.record())
        usage.receive(each, NOVEMBER)
    assert usage.used(NOVEMBER)["eth0"] == used(*readings)


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=10))
def test_counters_that_only_grow_are_counted_to_the_last_byte(amounts: list[int]) -> None:
    grown = sorted(amounts)
    assert used(*(eth0(amount) for amount in grown)) == grown[-1] - grown[0]


def test_a_record_is_a_copy() -> None:
    usage = Usage(Record(boot="first", links={"eth0": Counted(2, 0, 0)}, months={NOVEMBER: {"eth0": 5}}))
    kept = usage.record()
    usage.receive(eth0(10), NOVEMBER)
    assert kept.months == {NOVEMBER: {"eth0": 5}}
    assert usage.used(NOVEMBER) == {"eth0": 15}


@pytest.fixture
def zone() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    time.tzset()


@pytest.mark.parametrize(
    ("day", "starts_on", "month"),
    [
        ((2026, 11, 22), 1, "2026-11"),
        ((2026, 11, 1), 1, "2026-11"),
        ((2026, 11, 14), 15, "2026-10"),
        ((2026, 11, 15), 15, "2026-11"),
        ((2027, 1, 27), 28, "2026-12"),
        ((2027, 1, 28), 28, "2027-01"),
        ((2024, 2, 29), 28, "2024-02"),
        ((2024, 3, 27), 28, "2024-02"),
        ((1970, 1, 1), 2, "1969-12"),
    ],
)
def test_a_month_starts_on_its_day(
    zone: pytest.MonkeyPatch, day: tuple[int, int, int], starts_on: int, month: str
) -> None:
    zone.setenv("TZ", "UTC0")
    assert billing_month(timegm((*day, 12, 0, 0, 0, 0, 0)), starts_on) == month


def test_a_month_starts_at_midnight_where_the_host_is(zone: pytest.MonkeyPatch) -> None:
    midnight = timegm((2026, 12, 1, 0, 0, 0, 0, 0, 0))
    zone.setenv("TZ", "UTC0")
    assert (billing_month(midnight - 1, 1), billing_month(midnight, 1)) == (NOVEMBER, DECEMBER)
    zone.setenv("TZ", "WEST5")
    assert billing_month(midnight, 1) == NOVEMBER
    assert billing_month(midnight + 5 * 3600, 1) == DECEMBER
