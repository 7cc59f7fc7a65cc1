"""Sessions of a server that are frozen until their clients are back."""

from __future__ import annotations

import asyncio
import os

import pytest

from sessionlayer import aio
from sessionlayer.streams.openings import CONTROL, OpeningBody, write_opening
from tests.sessionlayer.aio.fake_clock import run
from tests.sessionlayer.aio.pairs import LOOPBACK, Pair, new_key, pair, trusting


class Bed:
    """Where a pair's session sleeps, and what became of it."""

    def __init__(self, both: Pair) -> None:
        self.both = both
        self.woken: asyncio.Queue[aio.StreamSession] = asyncio.Queue()
        self.over: list[aio.Closed] = []

    async def freeze(self) -> bytes:
        """Cut the network, freeze the server's end; return the session's key."""
        self.both.relay.open = False
        self.both.relay.reset_all()
        session = self.both.serving
        key = session.core._start.key
        self.both.server.freeze(session, self.woken.put_nowait, self.over.append)
        await asyncio.sleep(0)
        return key


async def knock(server: aio.StreamServer, opening: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, server.sockets[0].getsockname()[1])
    writer.write(opening)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("sealed", [False, True])
def test_a_frozen_session_goes_on_when_its_client_is_back(sealed: bool) -> None:
    async def main() -> None:
        async with pair() as both:
            reader, writer, far_reader, far_writer = await both.streams(sealed=sealed)
            bed = Bed(both)
            for number in range(3):
                writer.write(b"one")
                assert await far_reader.readexactly(3) == b"one"
                far_writer.write(b"two")
                await bed.freeze()
                assert (both.server.sessions, both.server.frozen) == ((), 1)
                writer.write(b"three")
                both.relay.open = True
                woken = await bed.woken.get()
                assert both.server.sessions == (woken,)
                assert both.server.frozen == 0
                ((far_reader, far_writer),) = woken.take_streams()
                assert await far_reader.readexactly(5) == b"three"
                assert await reader.readexactly(3) == b"two", number
            assert bed.over == []
            far_writer.close()

    run(main())


def test_the_time_at_rest_counts_towards_expiry() -> None:
    async def main() -> None:
        async with pair(options=aio.StreamOptions(expire_s=100.0)) as both:
            await both.streams()
            bed = Bed(both)
            await bed.freeze()
            assert both.session.dialer
            both.session.dialer.stop()
            await asyncio.sleep(90)
            assert (both.server.frozen, bed.over) == (1, [])
            await asyncio.sleep(10)
            assert (both.server.frozen, [end.code for end in bed.over]) == (0, ["expired"])

    run(main())


def test_only_a_new_and_authentic_opening_wakes_it() -> None:
    async def main() -> None:
        async with pair() as both:
            await both.streams()
            bed = Bed(both)
            key = await bed.freeze()
            body, nonce = OpeningBody(received=0, sending_from=0), os.urandom(16)
            recorded = write_opening(key, CONTROL, 0, nonce, body)
            of_a_connection = write_opening(key, 1, 1, nonce, body)
            of_one_that_is_over = write_opening(key, 7, 9, nonce, body)
            new = write_opening(key, CONTROL, 5, nonce, body)
            forged = new[:-1] + bytes([new[-1] ^ 1])
            for opening in (recorded, of_a_connection, of_one_that_is_over, forged):
                assert await knock(both.server, opening) == b""
                assert (both.server.frozen, bed.woken.qsize()) == (1, 0)
            both.relay.open = True
            await bed.woken.get()

    run(main())


def test_it_makes_room_for_its_client_and_ends_with_the_server() -> None:
    async def main() -> None:
        async with pair(options=aio.StreamOptions(sessions_per_key=1)) as both:
            bed = Bed(both)
            await bed.freeze()
            other = await aio.connect(
                LOOPBACK,
                both.server.sockets[0].getsockname()[1],
                identity=both.identity,
                judge=trusting,
                options=both.session.options,
            )
            assert [end.code for end in bed.over] == ["aborted"]
            both.relay.open = True
            assert both.server.frozen == 0
            serving = both.serving
            both.server.freeze(serving, bed.woken.put_nowait, bed.over.append)
            both.server.close()
            assert [end.code for end in bed.over] == ["aborted"] * 2
            other.abort()
            await other.wait_closed()

    run(main())


def test_another_servers_session_is_refused() -> None:
    async def main() -> None:
        async with pair() as both:
            other = await aio.start_server(both.accepted, LOOPBACK, 0, identity=new_key(), judge=trusting)
            with pytest.raises(ValueError, match="no session of this server"):
                other.freeze(both.serving, lambda _: None, lambda _: None)
            assert both.server.sessions
            other.close()
            await other.wait_closed()

    run(main())
