"""The fakes of the kit: time, the kernel's news and the daemon."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine

import pytest

from monitors.messages import Snapshot
from monitors.surroundings import KeepAlive, Surroundings
from monitors.testing import FakeClock, FakeSurroundings, ScriptedFeed, settle
from tests.monitors.samples import cut, link
from tests.monitors.watched import connection, path

OVERRUN = OSError(errno.ENOBUFS, "no buffer space available")


def run(story: Coroutine[None, None, None]) -> None:
    asyncio.run(story)


def test_a_clock_wakes_sleepers_in_the_order_of_their_times() -> None:
    async def story() -> None:
        clock, woken = FakeClock(100.0), list[tuple[str, float]]()

        async def sleeper(name: str, seconds: float) -> None:
            while True:
                await clock.sleep(seconds)
                woken.append((name, clock()))

        tasks = [asyncio.create_task(sleeper(*one)) for one in (("slow", 3.0), ("quick", 2.0))]
        await clock.advance(1.5)
        assert woken == []
        await clock.advance(4.5)
        assert woken == [
            ("quick", 102.0),
            ("slow", 103.0),
            ("quick", 104.0),
            ("slow", 106.0),
            ("quick", 106.0),
        ]
        assert clock() == 106.0
        assert clock.slept[:2] == [3.0, 2.0]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run(story())


def test_a_clock_that_jumps_wakes_nobody() -> None:
    async def story() -> None:
        clock = FakeClock()
        task = asyncio.create_task(clock.sleep(1.0))
        await settle()
        clock.jump(3600.0)
        await settle()
        assert clock() == 3600.0
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})
        await clock.advance(2.0)  # a sleeper that was cancelled is no obstacle
        await clock.sleep(0.0)

    run(story())


def test_a_feed_tells_what_there_is_to_whoever_opens_it() -> None:
    async def story() -> None:
        feed = ScriptedFeed(Snapshot(links=(link(),)))
        for _ in range(2):
            async with feed:
                assert feed.open == 1
                assert await feed.receive() == (Snapshot(links=(link(),)),)
                feed.put(cut())
        assert feed.open == 0
        async with feed:
            assert await feed.receive() == (Snapshot(links=(link(),)),)
            deadline = asyncio.get_running_loop().time()
            assert await feed.receive(deadline) == ()
            assert feed.deadlines[-1] == deadline

    run(story())


def test_a_feed_that_breaks_off_can_be_opened_once_it_is_mended() -> None:
    async def story() -> None:
        feed = ScriptedFeed()
        async with feed:
            feed.break_off(OVERRUN)
            with pytest.raises(OSError, match="no buffer space"):
                await feed.receive()
        with pytest.raises(OSError, match="no buffer space"):
            async with feed:
                pass
        feed.mend()
        async with feed:
            feed.put(link())
            assert await feed.receive() == (link(),)

    run(story())


def test_surroundings_are_what_was_set_and_tell_of_it() -> None:
    async def story() -> None:
        around = FakeSurroundings({"modem": {"every_s": 2.0}})
        surroundings: Surroundings = around
        assert surroundings.settings("modem") == {"every_s": 2.0}
        assert (surroundings.connections(), surroundings.peers()) == ((), ())
        waiting = asyncio.create_task(around.changed())
        await settle()
        assert not waiting.done()
        said = KeepAlive(session="s", healthy=True, well_at=1.0)
        around.set(connections=[connection()], keep_alives=[said])
        await waiting
        around.set(paths=[path()])
        assert around.connections() == (connection(),)
        assert around.paths() == (path(),)
        assert around.keep_alives() == (said,)
        assert around.looks == 5

    run(story())


def test_a_probe_is_answered_as_a_test_says() -> None:
    async def story() -> None:
        clock = FakeClock()
        around = FakeSurroundings(sleep=clock.sleep)
        around.answers[path()] = 0.03
        assert await around.probe(path(), 1.0) == 0.03
        for lost, timeout_s in ((path("wan0"), 1.0), (path(), 0.02)):
            asking = asyncio.create_task(around.probe(lost, timeout_s))
            await settle()
            assert not asking.done()
            await clock.advance(timeout_s)
            assert await asking is None
        assert around.probed == [path(), path("wan0"), path()]

    run(story())
