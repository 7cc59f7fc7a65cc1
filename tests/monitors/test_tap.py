from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from monitors.mailbox import Reported
from monitors.tap import RECENT_LIMIT, Follower, Tap
from tests.monitors.samples import link


def reports(*numbers: int) -> tuple[Reported, ...]:
    return tuple(Reported(link(), "test", float(number)) for number in numbers)


def test_the_latest_events_are_remembered() -> None:
    tap = Tap()
    tap.put(reports(*range(RECENT_LIMIT + 5)))
    assert tap.recent == reports(*range(5, RECENT_LIMIT + 5))


def test_a_follower_gets_what_comes_while_it_follows() -> None:
    async def play() -> None:
        tap = Tap()
        tap.put(reports(1))
        with tap.follow() as follower:
            tap.put(reports(2))
            tap.put(reports(3))
            assert await follower.take() == (reports(2, 3), 0)
            waiting = asyncio.create_task(follower.take())
            await asyncio.sleep(0)
            assert not waiting.done()
            tap.put(reports(4))
            assert await waiting == (reports(4), 0)
        tap.put(reports(5))
        assert follower.put(()) == 0
        assert tap.dropped == 0

    asyncio.run(play())


@given(st.lists(st.integers(0, 12), max_size=6), st.integers(1, 5))
def test_a_slow_follower_loses_the_oldest_and_is_told_how_many(batches: list[int], limit: int) -> None:
    follower, total, dropped = Follower(limit), 0, 0
    for size in batches:
        dropped += follower.put(reports(*range(total, total + size)))
        total += size
    assert dropped == max(0, total - limit)
    if total:
        assert asyncio.run(follower.take()) == (reports(*range(dropped, total)), dropped)


def test_what_one_follower_misses_is_counted_once_for_each() -> None:
    tap = Tap()
    with tap.follow(), tap.follow():
        tap.put(reports(*range(RECENT_LIMIT + 1)))
    assert tap.dropped == 2
