"""Real sockets through a relay that resets every transport every 7 ms, or vanishes."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.sessionlayer.aio.pairs import Pair, pair

MIB = 1 << 20
RESET_S = 0.007
LATE = 4
"""A loop that is busy copying wakes up late: so many times as late as it was to, on average, at worst."""

STEADY = 30
"""Looks with the same result, one after another; a time would also go by while the process is not let run."""

PATIENCE_S = 60.0


async def send(writer: asyncio.StreamWriter, data: bytes, rng: random.Random) -> None:
    position = 0
    while position < len(data):
        size = rng.choice((1, 100, 5_000, 70_000, 400_000))
        writer.write(data[position : position + size])
        position += size
        await writer.drain()
    writer.write_eof()


async def exchange(both: Pair, size: int) -> float:
    """Send so many bytes both ways; return for how long the processor was busy with it, in seconds."""
    rng = random.Random(7)
    near_reader, near_writer, far_reader, far_writer = await both.streams()
    up, down = rng.randbytes(size), rng.randbytes(size)
    begun = time.process_time()  # not the time that other programs have taken, nor that of making and hashing
    got_down, got_up, *_ = await asyncio.gather(
        near_reader.read(),
        far_reader.read(),
        send(near_writer, up, random.Random(1)),
        send(far_writer, down, random.Random(2)),
    )
    busy_s = time.process_time() - begun
    assert hashlib.sha256(got_up).digest() == hashlib.sha256(up).digest()
    assert hashlib.sha256(got_down).digest() == hashlib.sha256(down).digest()
    return busy_s


@pytest.mark.parametrize("size", [4 * MIB, 64 * MIB])
def test_a_reset_every_7_ms_loses_nothing(size: int) -> None:
    async def main() -> tuple[int, float]:
        async with pair() as both:
            chaos = asyncio.create_task(both.relay.reset_every(RESET_S))
            async with asyncio.timeout(280):
                busy_s = await exchange(both, size)
            chaos.cancel()
            return both.relay.resets, busy_s

    resets, busy_s = asyncio.run(main())
    assert resets > busy_s / RESET_S / LATE


def open_now() -> tuple[int, int]:
    """Return how many descriptors and tasks there are."""
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir())), len(asyncio.all_tasks())


async def settled(both: Pair) -> tuple[int, int]:
    """Return what is open as soon as nothing is being made or ended: the control and one data transport."""
    async with asyncio.timeout(PATIENCE_S):
        seen, looks = open_now(), 0
        while both.relay.passing != 2 or looks < STEADY:
            await asyncio.sleep(0.01)
            looks = looks + 1 if open_now() == seen else 0
            seen = open_now()
    return seen


def test_a_thousand_resumptions_leave_nothing_behind() -> None:
    async def resume(both: Pair, streams: tuple[object, ...], times: int) -> None:
        near_reader, near_writer, far_reader, far_writer = streams
        assert isinstance(near_reader, asyncio.StreamReader)
        assert isinstance(near_writer, asyncio.StreamWriter)
        assert isinstance(far_reader, asyncio.StreamReader)
        assert isinstance(far_writer, asyncio.StreamWriter)
        for number in range(times):
            both.relay.reset_all()
            message = number.to_bytes(4, "big")
            near_writer.write(message)
            assert await far_reader.readexactly(4) == message
            far_writer.write(message)
            assert await near_reader.readexactly(4) == message

    async def main() -> None:
        async with pair() as both:
            streams = await both.streams()
            await resume(both, streams, 50)
            gc.collect()  # what tests before have left is closed before it is counted
            before = await settled(both)
            tracemalloc.start()
            traced = tracemalloc.get_traced_memory()[0]
            await resume(both, streams, 1000)
            assert await settled(both) == before
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - traced
            tracemalloc.stop()
            assert grown < 100_000
            assert both.relay.resets > 1000

    asyncio.run(main())
