"""Suspension, resumption and expiry, on a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sessionlayer import aio
from sessionlayer.aio.transport import StreamTransport
from tests.sessionlayer.aio.fake_clock import run
from tests.sessionlayer.aio.pairs import Relay, pair

DAY_S = 86_400.0


def events_of(session: aio.StreamSession) -> asyncio.Queue[aio.StreamEvent]:
    events: asyncio.Queue[aio.StreamEvent] = asyncio.Queue()
    session.on_event(events.put_nowait)
    return events


def test_a_month_without_network_loses_nothing() -> None:
    async def main() -> None:
        async with pair(options=aio.StreamOptions(expire_s=40 * DAY_S)) as both:
            reader, writer, far_reader, far_writer = await both.streams()
            events, far_events = events_of(both.session), events_of(both.serving)
            both.relay.open = False
            both.relay.reset_all()
            writer.write(b"before")
            assert isinstance(await events.get(), aio.Suspended)
            assert isinstance(await far_events.get(), aio.Suspended)
            assert both.session.state == both.serving.state == "suspended"
            await asyncio.sleep(30.0)
            assert both.session.dialer
            both.session.dialer.stop()  # thirty days of attempts a second would take a while even so
            await asyncio.sleep(30 * DAY_S)
            far_writer.write(b"meanwhile")
            state = both.session.freeze()
            both.relay.open = True
            near = aio.StreamSession.restore(
                state, identity=both.identity, judge=lambda _: "", options=both.session.options
            )
            ((reader, writer),) = near.take_streams()
            assert await far_reader.readexactly(6) == b"before"
            assert await reader.readexactly(9) == b"meanwhile"
            resumed = await far_events.get()
            assert isinstance(resumed, aio.Resumed)
            assert resumed.after_s > 30 * DAY_S
            writer.close()
            near.abort()
            await near.wait_closed()

    run(main())


def test_both_ends_are_told_that_a_session_has_expired() -> None:
    async def main() -> None:
        async with pair(options=aio.StreamOptions(expire_s=100.0)) as both:
            reader, _, far_reader, _ = await both.streams()
            events, far_events = events_of(both.session), events_of(both.serving)
            both.relay.open = False
            both.relay.reset_all()
            for end in (reader, far_reader):
                with pytest.raises(aio.StreamExpiredError):
                    await end.read()
            for queue in (events, far_events):
                assert isinstance(await queue.get(), aio.Suspended)
                closed = await queue.get()
                assert isinstance(closed, aio.Closed)
                assert closed.code == "expired"
            assert both.server.sessions == ()

    run(main())


def test_silence_suspends_both_ends_within_three_seconds() -> None:
    async def main() -> None:
        async with pair() as both:
            _, writer, far_reader, _ = await both.streams()
            events, far_events = events_of(both.session), events_of(both.serving)
            loop = asyncio.get_running_loop()
            both.relay.mute()
            began = loop.time()
            writer.write(b"typed into the void")
            assert isinstance(await events.get(), aio.Suspended)
            assert isinstance(await far_events.get(), aio.Suspended)
            assert loop.time() - began <= 3.3
            both.relay.unmute()
            both.session.retry_now()
            assert await far_reader.readexactly(19) == b"typed into the void"
            resumed = await events.get()
            assert isinstance(resumed, aio.Resumed)
            assert resumed.after_s >= 3.0

    run(main())


def test_an_idle_session_stays_connected() -> None:
    async def main() -> None:
        async with pair() as both:
            events = events_of(both.session)
            await asyncio.sleep(60.0)
            assert both.session.state == both.serving.state == "connected"
            assert events.empty()

    run(main())


def test_a_connection_can_be_asked_for_while_suspended() -> None:
    async def main() -> None:
        async with pair() as both:
            events = events_of(both.session)
            both.relay.open = False
            both.relay.reset_all()
            assert isinstance(await events.get(), aio.Suspended)
            asking = asyncio.create_task(both.streams(b"later"))
            await asyncio.sleep(20.0)
            assert not asking.done()
            both.relay.open = True
            reader, _, _, far_writer = await asking
            far_writer.write(b"x")
            assert await reader.readexactly(1) == b"x"

    run(main())


def test_closing_a_session_waits_no_longer_than_it_may() -> None:
    async def main() -> None:
        async with pair(options=aio.StreamOptions(close_s=5.0)) as both:
            _, writer, _, _ = await both.streams()
            both.relay.open = False
            both.relay.reset_all()
            writer.write(b"never to arrive")
            began = asyncio.get_running_loop().time()
            await both.session.close()
            assert 4.9 < asyncio.get_running_loop().time() - began < 6.0

    run(main())


@pytest.mark.parametrize("cut", [Relay.hang_up, Relay.reset_all, Relay.reset_newest])
def test_what_is_under_way_to_a_peer_that_has_ended_its_stream_arrives(cut: Callable[[Relay], None]) -> None:
    """The transport is not read any more when it dies, and nothing is written any more that would tell."""

    async def main() -> None:
        async with pair() as both:
            reader, writer, far_reader, far_writer = await both.streams()
            far_writer.write_eof()
            assert await reader.read() == b""
            transport = writer.transport
            assert isinstance(transport, StreamTransport)
            first = transport.pipe
            await asyncio.sleep(0.1)
            assert first
            assert first.unheard
            both.relay.mute()
            writer.write(b"under way")
            await asyncio.sleep(0.1)
            cut(both.relay)
            both.relay.unmute()
            async with asyncio.timeout(2.5):
                assert await far_reader.readexactly(9) == b"under way"
            assert transport.pipe is not first

    run(main())
