from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from sessionlayer import aio
from sessionlayer.aio.sockets import source_towards
from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.streams.transitions import SessionPhase
from tests.sessionlayer.aio.fake_clock import run
from tests.sessionlayer.aio.pairs import LOOPBACK, Accepted, new_key, pair, port_of, trusting


@pytest.mark.parametrize("sealed", [False, True])
def test_bytes_and_both_ends_pass(sealed: bool) -> None:
    async def main() -> None:
        async with pair() as both:
            reader, writer, far_reader, far_writer = await both.streams(b"what for", sealed=sealed)
            assert far_writer.get_extra_info("purpose") == b"what for"
            assert far_writer.get_extra_info("session") is both.serving
            writer.write(b"up")
            writer.write_eof()
            assert await far_reader.read() == b"up"
            far_writer.write(b"down")
            far_writer.close()
            assert await reader.read() == b"down"
            writer.close()
            await writer.wait_closed()
            await far_writer.wait_closed()
            assert both.session.transports == both.serving.transports == ()

    asyncio.run(main())


def test_a_refused_purpose_raises_the_reason() -> None:
    async def admit(_session: aio.StreamSession, purpose: bytes) -> str:
        await asyncio.sleep(0)
        return "there is no such place" if purpose == b"nowhere" else ""

    async def main() -> None:
        async with pair(admit=admit) as both:
            with pytest.raises(aio.StreamRefusedError, match="there is no such place"):
                await both.session.open_connection(b"nowhere")
            await both.streams(b"somewhere")

    asyncio.run(main())


def test_a_long_purpose_is_refused_here() -> None:
    async def main() -> None:
        async with pair() as both:
            with pytest.raises(LocalProtocolError, match="256 bytes"):
                await both.session.open_connection(bytes(256))

    asyncio.run(main())


def test_keys_are_judged_by_both() -> None:
    async def main() -> None:
        server = await aio.start_server(
            Accepted(), LOOPBACK, 0, identity=new_key(), judge=lambda _: "your key is not listed"
        )
        try:
            with pytest.raises(aio.StreamRefusedError, match="your key is not listed"):
                await aio.connect(LOOPBACK, port_of(server), identity=new_key(), judge=trusting)
            with pytest.raises(aio.UntrustedPeerError, match="never seen"):
                await aio.connect(LOOPBACK, port_of(server), identity=new_key(), judge=lambda _: "never seen")
            assert server.sessions == ()
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(main())


def test_abort_tells_the_peer() -> None:
    async def main() -> None:
        async with pair() as both:
            reader, writer, far_reader, _ = await both.streams()
            writer.write(b"x")
            assert await far_reader.read(1) == b"x"
            writer.transport.abort()
            with pytest.raises(aio.StreamError, match="gave it up"):
                await far_reader.read()
            with pytest.raises(aio.StreamError):
                await reader.read()

    asyncio.run(main())


def test_what_was_written_before_close_arrives_after_a_reset() -> None:
    async def main() -> None:
        async with pair() as both:
            _, writer, far_reader, far_writer = await both.streams()
            both.relay.reset_all()
            writer.write(b"last words")
            writer.close()
            assert await far_reader.read() == b"last words"
            far_writer.close()
            await writer.wait_closed()

    asyncio.run(main())


def test_a_peer_that_does_not_read_stops_the_writer() -> None:
    async def main() -> None:
        async with pair() as both:
            _, writer, far_reader, _ = await both.streams()
            written = 0

            async def write() -> None:
                nonlocal written
                while True:
                    writer.write(bytes(65536))
                    written += 65536
                    await writer.drain()

            task = asyncio.create_task(write())
            await settled(lambda: written)
            assert written < 24 << 20
            assert writer.transport.session.core.connections[1].ring.unacknowledged < 17 << 20  # type: ignore[attr-defined]
            before = written
            for _ in range(100):
                await far_reader.read(1 << 20)
            await settled(lambda: written)
            assert written > before
            task.cancel()

    run(main())


async def settled(value: Callable[[], int]) -> None:
    """Wait until a number doesn't change any more."""
    last = -1
    while last != value():
        last = value()
        await asyncio.sleep(0.1)  # of a clock that waits for the network


def test_freeze_and_restore_both_ends() -> None:
    async def main() -> None:
        key = new_key()
        async with pair() as both:
            reader, writer, far_reader, far_writer = await both.streams(b"p", sealed=True)
            writer.write(b"read;unread;")
            far_writer.write(b"to the client;")
            assert await far_reader.readexactly(5) == b"read;"
            assert await reader.readexactly(3) == b"to "
            both.relay.reset_all()
            both.relay.open = False
            writer.write(b"unsent")
            kept, far_kept = both.session.freeze(), both.serving.freeze()
            assert both.session.state == "closed"
            assert both.server.sessions == ()
            far = both.server.restore(far_kept)
            near = aio.StreamSession.restore(kept, identity=key, judge=trusting)
            ((reader, writer),) = near.take_streams()
            ((far_reader, far_writer),) = far.take_streams()
            assert near.take_streams() == []
            both.relay.open = True
            near.retry_now()
            assert await reader.readexactly(11) == b"the client;"
            assert await far_reader.readexactly(13) == b"unread;unsent"
            writer.close()
            assert await far_reader.read() == b""
            far_writer.close()
            await near.close()

    asyncio.run(main())


def test_what_was_closed_before_freezing_arrives_after_restoring() -> None:
    async def main() -> None:
        async with pair() as both:
            _, writer, far_reader, far_writer = await both.streams()
            both.relay.open = False
            both.relay.reset_all()
            writer.write(b"last words")
            writer.close()
            near = aio.StreamSession.restore(both.session.freeze(), identity=both.identity, judge=trusting)
            assert near.take_streams() == []
            both.relay.open = True
            near.retry_now()
            assert await far_reader.read() == b"last words"
            far_writer.close()
            await far_writer.wait_closed()
            await near.close()

    asyncio.run(main())


def test_a_server_that_was_started_anew_says_that_the_session_is_unknown() -> None:
    async def main() -> None:
        async with pair() as both:
            reader, _, _, _ = await both.streams()
            events: list[aio.StreamEvent] = []
            both.session.on_event(events.append)
            both.serving.freeze()  # gone, without a word
            with pytest.raises(aio.StreamExpiredError, match="does not know"):
                await reader.read()
            assert isinstance(events[-1], aio.Closed)
            assert events[-1].code == "unknown"

    asyncio.run(main())


def test_what_raises_in_a_server_gives_its_connection_up() -> None:
    async def admit(_session: aio.StreamSession, purpose: bytes) -> str:
        if purpose == b"admit":
            raise ZeroDivisionError("in admit")
        return ""

    async def connected(
        _session: aio.StreamSession, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(1)
        raise ZeroDivisionError("in connected")

    async def main() -> None:
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: reported.append(str(context["exception"]))
        )
        server = await aio.start_server(
            connected, LOOPBACK, 0, identity=new_key(), judge=trusting, admit=admit
        )
        session = await aio.connect(LOOPBACK, port_of(server), identity=new_key(), judge=trusting)
        with pytest.raises(aio.StreamRefusedError):
            await session.open_connection(b"admit")
        reader, writer = await session.open_connection(b"connected")
        writer.write(b"x")
        with pytest.raises(aio.StreamError):
            await reader.read()
        writer.close()
        assert reported == ["in admit", "in connected"]
        await session.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_a_cancelled_opening_leaves_nothing_behind() -> None:
    admitting = asyncio.Event()

    async def admit(_session: aio.StreamSession, purpose: bytes) -> str:
        if purpose == b"slow":
            admitting.set()
            await asyncio.sleep(3600)
        return ""

    async def main() -> None:
        async with pair(admit=admit) as both:
            opening = asyncio.create_task(both.session.open_connection(b"slow"))
            await admitting.wait()
            opening.cancel()
            await asyncio.wait({opening})
            reader, _, _, far_writer = await both.streams()
            far_writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            for end in (both.session, both.serving):
                assert [transport.connection.number for transport in end.transports] == [2]
                assert list(end.core.connections) == [2]

    asyncio.run(main())


@pytest.mark.parametrize(("source", "new_transports"), [("127.0.0.9", 2), (LOOPBACK, 0), ("", 0)])
def test_a_hint_moves_transports_to_another_address_of_this_host(
    monkeypatch: pytest.MonkeyPatch, source: str, new_transports: int
) -> None:
    monkeypatch.setattr("sessionlayer.aio.shell.source_towards", lambda _: source)

    async def main() -> None:
        async with pair() as both:
            reader, writer, far_reader, far_writer = await both.streams()
            before = both.relay.passed
            both.session.retry_now()
            both.session.retry_now()
            assert both.session.state == "connected"
            writer.write(b"there")
            assert await far_reader.readexactly(5) == b"there"
            far_writer.write(b"back")
            assert await reader.readexactly(4) == b"back"
            async with asyncio.timeout(5):
                while both.session.core.phase is not SessionPhase.CONNECTED:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            assert both.relay.passed == before + new_transports

    run(main())


def test_the_routing_table_tells_our_address() -> None:
    assert source_towards((LOOPBACK, 9)) == LOOPBACK
    assert source_towards(("255.255.255.255", 9)) == ""


def test_connections_resume_side_by_side() -> None:
    async def main() -> None:
        async with pair() as both:
            streams = [await both.streams(bytes([number])) for number in range(50)]
            both.relay.reset_all()
            for number, (_, writer, _, far_writer) in enumerate(streams):
                writer.write(bytes([number]))
                far_writer.write(bytes([100 + number]))
            for number, (reader, _, far_reader, _) in enumerate(streams):
                assert await far_reader.readexactly(1) == bytes([number])
                assert await reader.readexactly(1) == bytes([100 + number])

    asyncio.run(main())


def test_a_key_with_too_many_sessions_loses_the_longest_suspended_one() -> None:
    async def main() -> None:
        async with pair(options=aio.StreamOptions(sessions_per_key=2)) as both:
            port = port_of(both.server)
            second = await aio.connect(LOOPBACK, port, identity=both.identity, judge=trusting)
            with pytest.raises(aio.StreamRefusedError, match="your key has 2 sessions"):
                await aio.connect(LOOPBACK, port, identity=both.identity, judge=trusting)
            first = both.server.sessions[0]
            both.relay.open = False
            both.relay.reset_all()
            await asyncio.sleep(5.0)
            assert first.state == "suspended"
            third = await aio.connect(LOOPBACK, port, identity=both.identity, judge=trusting)
            assert first.state == "closed"
            assert len(both.server.sessions) == 2
            for session in (second, third):
                await session.close()

    run(main())


def test_transports_may_be_dialled_otherwise() -> None:
    """What carries a session need not be TCP: here the ends of socket pairs, with a relay behind each."""

    async def main() -> None:
        carried: list[asyncio.Task[None]] = []

        async def carry(end: socket.socket, port: int) -> None:
            near = await asyncio.open_connection(sock=end)
            far = await asyncio.open_connection(LOOPBACK, port)
            await asyncio.gather(one_way(near[0], far[1]), one_way(far[0], near[1]))

        async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            except OSError:
                pass
            finally:
                writer.close()

        accepted = Accepted()
        server = await aio.start_server(accepted, LOOPBACK, 0, identity=new_key(), judge=trusting)
        failing = False

        async def dial() -> socket.socket:
            if failing:
                raise ConnectionRefusedError("nobody there")
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            carried.append(asyncio.create_task(carry(theirs, port_of(server))))
            return ours

        session = await aio.connect("beyond", 7, identity=new_key(), judge=trusting, dial=dial)
        assert session.peer == "beyond:7"
        suspended = asyncio.Event()
        session.on_event(lambda event: suspended.set() if isinstance(event, aio.Suspended) else None)
        reader, writer = await session.open_connection(b"")
        far_reader, far_writer = await accepted.arrivals.get()
        assert len(carried) == 2
        writer.write(b"before ")
        assert await far_reader.readexactly(7) == b"before "
        failing = True
        for task in carried:
            task.cancel()
        await asyncio.wait(carried)
        writer.write(b"after")
        session.retry_now()
        await suspended.wait()
        failing = False
        assert await far_reader.readexactly(5) == b"after"
        far_writer.close()
        assert await reader.read() == b""
        writer.close()
        await session.close()
        server.close()
        await server.wait_closed()
        await asyncio.wait(carried)

    run(main())
