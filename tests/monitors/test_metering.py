from __future__ import annotations

import asyncio
import time

import pytest

from monitors.metering import Meter, Metered


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_steps_are_counted_with_their_processor_time() -> None:
    async def steps() -> str:
        burn(0.02)
        await asyncio.sleep(0)
        await asyncio.sleep(0.03)
        return "done"

    meter = Meter()
    assert asyncio.run(Metered(steps(), meter)) == "done"
    assert meter.steps == 3
    assert 0.02 <= meter.cost_s < 0.2
    assert meter.longest_step_s >= 0.02


def test_a_metered_coroutine_is_cancelled_as_any_other() -> None:
    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            burn(0.02)
            raise

    async def play() -> None:
        meter = Meter()
        task: asyncio.Task[None] = asyncio.create_task(Metered(hangs(), meter))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert meter.cost_s >= 0.02

    asyncio.run(play())


def test_what_a_coroutine_raises_comes_through() -> None:
    async def raises() -> None:
        raise ValueError("no")

    async def play(meter: Meter) -> None:
        with pytest.raises(ValueError, match="no"):
            await Metered(raises(), meter)
        assert meter.steps == 1

    asyncio.run(play(Meter()))


def test_one_that_is_never_run_can_be_closed() -> None:
    async def never() -> None:
        raise AssertionError

    Metered(never(), Meter()).close()
