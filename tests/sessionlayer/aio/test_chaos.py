"""Real sockets through a relay that resets every transport every 7 ms, or vanishes."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
import tracemalloc
from pathlib import Path

import pytest

from tests.sessionlayer.aio.pairs import Pair, pair

MIB = 1 << 20


async def send(writer: asyncio.StreamWriter, data: bytes, rng: random.Random) -> None:
    position = 0
    while position < len(data):
        size = rng.choice((1, 100, 5_000, 70_000, 400_000))
        writer.write(data[position : position + size])
        position += size
        await writer.drain()
    writer.write_eof()


async def exchange(both: Pair, size: int) -> None:
    rng = random.Random(7)
    near_reader, near_writer, far_reader, far_writer = await both.streams()
    up, down = rng.randbytes(size), rng.randbytes(size)
    got_down, got_up, *_ = await asyncio.gather(
        near_reader.read(),
        far_reader.read(),
        send(near_writer, up, random.Random(1)),
        send(far_writer, down, random.Random(2)),
    )
    assert hashlib.sha256(got_up).digest() == hashlib.sha256(up).digest()
    assert hashlib.sha256(got_down).digest() == hashlib.sha256(down).digest()


@pytest.mark.parametrize("size", [4 * MIB, 64 * MIB])
def test_a_reset_every_7_ms_loses_nothing(size: int) -> None:
    async def main() -> int:
        async with pair() as both:
            chaos = asyncio.create_task(both.relay.reset_every(0.007))
            async with asyncio.timeout(300):
                await exchange(both, size)
            chaos.cancel()
            return both.relay.passed

    assert asyncio.run(main()) > 4


def descriptors() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


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
            gc.collect()
            tracemalloc.start()
            before = (descriptors(), len(asyncio.all_tasks()), tracemalloc.get_traced_memory()[0])
            await resume(both, streams, 1000)
            gc.collect()
            after = (descriptors(), len(asyncio.all_tasks()), tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
            assert abs(after[0] - before[0]) <= 6  # what the relay is just passing on
            assert abs(after[1] - before[1]) <= 6
            assert after[2] - before[2] < 100_000
            assert both.relay.passed > 1000

    asyncio.run(main())
