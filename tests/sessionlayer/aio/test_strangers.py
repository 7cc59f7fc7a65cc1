"""What reaches the port without a right to: it changes nothing, and costs one bounded reply at most."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from sessionlayer.aio import StreamOptions
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams.limits import ANSWERS_MAX, PENDING_MAX
from sessionlayer.streams.openings import OpeningBody, write_opening
from sessionlayer.streams.statements import Ping, encode
from tests.sessionlayer.aio.fake_clock import run
from tests.sessionlayer.aio.pairs import LOOPBACK, Pair, pair, port_of


async def say(both: Pair, data: bytes, *, end: bool = True) -> bytes:
    """Send bytes to the server's port and return all that it answers before it closes."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port_of(both.server))
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def generations(both: Pair) -> list[int]:
    core = both.serving.core
    return [core.generation, *(connection.generation for connection in core.connections.values())]


async def works(both: Pair) -> None:
    reader, _, _, far_writer = await both.streams()
    far_writer.write(b"works")
    assert await reader.readexactly(5) == b"works"


def test_garbage_is_closed_unanswered() -> None:
    async def main() -> None:
        async with pair() as both:
            for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(4000), b"\xd5MS\x02" + bytes(100), b""):
                assert await say(both, garbage) == b""
            await works(both)

    asyncio.run(main())


def test_a_handshake_gets_one_reply_of_constant_size() -> None:
    async def main() -> None:
        async with pair() as both:
            ephemeral = both.identity.public_bytes
            assert len(await say(both, b"\x00\x20" + ephemeral)) == 98
            assert len(both.server.sessions) == 1

    asyncio.run(main())


def test_handshakes_are_limited_by_source() -> None:
    async def main() -> None:
        async with pair(options=StreamOptions(handshakes_per_s=0.001)) as both:
            answers = [await say(both, b"\x00\x20" + both.identity.public_bytes) for _ in range(25)]
            assert answers.count(b"") >= 5
            assert answers[0]
            await works(both)  # openings of known sessions are not limited

    asyncio.run(main())


def test_a_wrong_mac_is_refused_and_changes_nothing() -> None:
    async def main() -> None:
        async with pair() as both:
            await both.streams()
            before = generations(both)
            core = both.session.core
            for connection in (0, 1, 2):
                for key in (os.urandom(32), core.state({}, "", 1, 0.0).key):
                    opening = bytearray(write_opening(key, connection, 99, bytes(16), OpeningBody()))
                    opening[4:20] = core.id
                    opening[-1] ^= 1
                    assert await say(both, bytes(opening)) == b""
            assert generations(both) == before
            await works(both)

    asyncio.run(main())


def test_repeated_and_older_openings_are_refused_and_change_nothing() -> None:
    async def main() -> None:
        async with pair() as both:
            reader, writer, far_reader, far_writer = await both.streams()
            key = both.session.core.state({}, "", 1, 0.0).key
            for _ in range(3):
                both.relay.reset_all()
                writer.write(b"x")
                await far_reader.readexactly(1)
                await asyncio.sleep(0.05)  # the control transport is back as well
            before = generations(both)
            for connection, newest in enumerate(before):
                for generation in range(newest + 1):
                    opening = write_opening(key, connection, generation, bytes(16), OpeningBody())
                    assert await say(both, opening) == b""
            assert generations(both) == before
            far_writer.write(b"still here")
            assert await reader.readexactly(10) == b"still here"

    run(main())


def test_a_recorded_first_opening_begins_no_second_connection() -> None:
    async def main() -> None:
        async with pair() as both:
            _, writer, far_reader, far_writer = await both.streams()
            writer.close()
            assert await far_reader.read() == b""
            far_writer.close()
            await far_writer.wait_closed()
            key = both.session.core.state({}, "", 1, 0.0).key
            opening = write_opening(key, 1, 5, bytes(16), OpeningBody())
            assert len(await say(both, opening)) < 200  # an authentic `it is over`
            assert both.serving.transports == ()
            assert both.accepted.arrivals.empty()

    run(main())


def test_a_slow_opening_is_closed_after_five_seconds() -> None:
    async def main() -> None:
        async with pair() as both:
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await say(both, b"\xd5MS\x01only this much", end=False) == b""
            assert 4.9 < loop.time() - began < 7.0

    run(main())


def test_unproven_transports_are_bounded_and_keep_nobody_out() -> None:
    async def main() -> None:
        async with pair() as both:
            idle = []
            for _ in range(PENDING_MAX + 5):
                sock = socket.create_connection((LOOPBACK, port_of(both.server)))
                sock.setblocking(False)
                idle.append(sock)
                await asyncio.sleep(0)
            await works(both)  # a transport of its own was let in
            assert [closed(sock) for sock in idle[:6]] == [True] * 6
            assert not closed(idle[-1])
            for sock in idle:
                sock.close()

    run(main())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_burst_of_strangers_leaves_no_descriptor_behind() -> None:
    async def main() -> None:
        async with pair() as both:
            before = descriptors()
            burst = [
                socket.create_connection((LOOPBACK, port_of(both.server))) for _ in range(PENDING_MAX + 50)
            ]
            await asyncio.sleep(0.1)  # all are accepted in one turn, and the first given up before they begin
            assert descriptors() == before + len(burst) + PENDING_MAX
            for sock in burst:
                sock.close()
            await asyncio.sleep(0.1)
            assert descriptors() == before

    run(main())


def test_a_client_that_asks_without_reading_answers_costs_little() -> None:
    async def main() -> None:
        async with pair() as both:
            core = both.serving.core
            ping = encode(Ping(number=1))
            assert both.serving._link is not None
            both.serving._link._unsent = b"the kernel takes no more"
            core.receive_control(sealed(both, ping, ANSWERS_MAX), 0.0)
            with pytest.raises(RemoteProtocolError, match="without reading"):
                core.receive_control(sealed(both, ping, 1), 0.0)
            both.serving._link._unsent = b""
            await works(both)

    run(main())


def sealed(both: Pair, message: bytes, times: int) -> bytes:
    """Return what the client would send; it loses its place on this transport and makes another."""
    channel = both.session.core._channel
    assert channel is not None
    return b"".join(channel.seal(message) for _ in range(times))
