"""An asyncio program without a daemon: its sessions are virtual streams."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

import sessionlayer as migrate
from sessionlayer.aio import HostKey, StreamExpiredError, StreamOptions, StreamServer, StreamSession, connect
from sessionlayer.aio import start_server as start_stream_server
from sessionlayer.application.messages import CreateSession
from tests.sessionlayer.application.fake_daemon import FakeDaemon

SERVER, CLIENT = HostKey.generate(os.urandom), HostKey.generate(os.urandom)
OPTIONS = StreamOptions(silence_s=60, expire_s=600)
"""Whoever is not let run by a busy machine for a while is silent, too: nothing is suspended for that."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Suspend soon what has lost its transports, which only a shut door does."""
    monkeypatch.setattr("sessionlayer.streams.liveness.SUSPEND_S", 0.1)


def trust(key: bytes) -> str:
    return ""


class Door:
    """A relay between client and server that can be shut, so that nothing passes, and opened."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._open = True
        self._shuts = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def shut(self) -> None:
        self._open = False
        self._shuts += 1
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def open(self) -> None:
        self._open = True

    async def stop(self) -> None:
        self.shut()
        self._server.close()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        shuts = self._shuts
        there = await asyncio.open_connection("127.0.0.1", self._port)
        if self._shuts != shuts:  # meanwhile
            writer.transport.abort()
            there[1].transport.abort()
            return
        self._writers += [writer, there[1]]
        for source, sink in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(_copy(source, sink))
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
        sink.write_eof()


class World:
    """A server, a door before it, and a client."""

    def __init__(
        self, serve: Callable[[StreamSession, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        self._serve = serve

    async def __aenter__(self) -> World:
        async def connected(
            session: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await self._serve(session, reader, writer)

        self.server: StreamServer = await migrate.start_server(
            connected, "127.0.0.1", 0, identity=SERVER, judge=trust, options=OPTIONS
        )
        self.door = Door(self.server.sockets[0].getsockname()[1])
        port = await self.door.start()
        self.client = await connect("127.0.0.1", port, identity=CLIENT, judge=trust, options=OPTIONS)
        return self

    async def __aexit__(self, *reason: object) -> None:
        self.client.abort()
        await self.client.wait_closed()
        self.server.close()
        await self.server.wait_closed()
        await self.door.stop()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


def test_an_internal_continuation_goes_on_with_every_connection() -> None:
    """Nothing that was written or sent is lost or repeated, and the task that served is gone meanwhile."""

    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, index: int = 0
    ) -> None:
        session = await migrate.aio_session(writer)
        session.register_handler(lambda session: migrate.internal("alone-count"))
        number = int(writer.get_extra_info("connection"))
        try:
            while data := await reader.readline():
                index += 1
                session.store(f"index-{number}", b"%d" % index)
                writer.write(b"%d %s" % (index, data))
                await writer.drain()
        finally:
            served.append(number)
            writer.close()  # which must not end the connection of a session that was given up

    @migrate.function("alone-count")
    async def count(
        session: migrate.Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert session.suspended is False
        number = writer.get_extra_info("connection")
        await serve(
            writer.get_extra_info("session"), reader, writer, int(session.retrieve(f"index-{number}"))
        )

    served: list[int] = []

    async def test() -> None:
        async with World(serve) as world:
            streams = [await world.client.open_connection() for _ in range(2)]
            for round_number in range(3):
                for reader, writer in streams:
                    writer.write(b"hello\n")
                    assert await reader.readline() == b"%d hello\n" % (2 * round_number + 1)
                world.door.shut()
                while len(served) < 2 * (round_number + 1):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                for _, writer in streams:
                    writer.write(b"again\n")
                world.door.open()
                for reader, _ in streams:
                    assert await reader.readline() == b"%d again\n" % (2 * round_number + 2)

    run(test)


def test_a_client_gives_its_session_up_as_well() -> None:
    resumed: asyncio.Future[tuple[migrate.Session, asyncio.StreamReader, asyncio.StreamWriter]]

    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()

    @migrate.function("alone-client")
    async def go_on(
        session: migrate.Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        resumed.set_result((session, reader, writer))

    async def test() -> None:
        nonlocal resumed
        resumed = asyncio.get_running_loop().create_future()
        async with World(serve) as world:

            async def ask() -> None:
                reader, writer = await world.client.open_connection()
                session = await migrate.aio_session(writer)
                session.store("mood", b"calm")
                session.register_handler(lambda session: migrate.internal(go_on))
                writer.write(b"one\ntwo\n")
                assert await reader.readline() == b"ONE\n"
                world.door.shut()
                writer.write(b"three\n")
                await asyncio.Event().wait()

            asked = asyncio.create_task(ask())
            with pytest.raises(asyncio.CancelledError):
                await asked
            assert world.client.state == "closed"
            world.door.open()
            session, reader, writer = await resumed
            assert (session.retrieve("mood"), session.suspended) == (b"calm", False)
            assert [await reader.readline() for _ in range(2)] == [b"TWO\n", b"THREE\n"]
            stream = writer.get_extra_info("session")
            stream.abort()
            await stream.wait_closed()

    run(test)


class Upper(asyncio.Protocol):
    """Says everything again, louder."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


def test_a_protocol_takes_a_connection_up() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def wait(session: migrate.Session) -> None:
        await session.resumed()
        await session.create_connection(Upper)

    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = await migrate.aio_session(writer)

        def suspend(session: migrate.Session) -> migrate.Continuation:
            tasks.append(asyncio.create_task(wait(session)))
            return migrate.system()

        session.register_handler(suspend)
        writer.write(await reader.readexactly(1))
        await asyncio.Event().wait()

    async def test() -> None:
        async with World(serve) as world:
            reader, writer = await world.client.open_connection()
            writer.write(b"abc")  # of which the first is read before the suspension
            assert await reader.readexactly(1) == b"a"
            world.door.shut()
            while not world.server.frozen:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            writer.write(b"def")
            world.door.open()
            assert await reader.readexactly(5) == b"BCDEF"
            await tasks[0]

    run(test)


def test_a_session_that_was_given_up_can_be_closed() -> None:
    found: list[migrate.Session] = []

    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = await migrate.aio_session(writer)
        found.append(session)
        session.register_handler(lambda session: migrate.system())
        writer.write(await reader.read())

    async def test() -> None:
        async with World(serve) as world:
            reader, _ = await world.client.open_connection()
            while not found:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            world.door.shut()
            while not world.server.frozen:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            found[0].store("level", b"7")
            with pytest.raises(migrate.RefusedError, match="given up"):
                await found[0].export("level")
            found[0].close()
            await asyncio.sleep(0)
            assert world.server.frozen == 0
            assert found[0].ended is not None
            assert found[0].ended.code == "closed"
            world.door.open()
            with pytest.raises(StreamExpiredError):
                await reader.read()

    run(test)


def test_what_is_exported_reaches_the_peer_at_resumption() -> None:
    """Also from a session that was given up, and in both directions."""

    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = await migrate.aio_session(writer)
        session.register_handler(lambda session: migrate.internal("alone-exporting"))
        session.store("level", bytes(15_000))
        await session.export("level")
        with pytest.raises(migrate.AttributeStoreFullError, match="at most 16384"):
            session.store("level", bytes(17_000))
        writer.write(await reader.readexactly(1))
        await asyncio.Event().wait()

    @migrate.function("alone-exporting")
    async def go_on(
        session: migrate.Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while "colour" not in session.imported:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        writer.write(session.imported["colour"])

    async def test() -> None:
        async with World(serve) as world:
            imported: asyncio.Queue[dict[str, bytes]] = asyncio.Queue()
            world.client.on_import(imported.put_nowait)
            world.client.export({"colour": b"green"})
            reader, writer = await world.client.open_connection()
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            assert imported.empty()
            world.door.shut()
            while not world.server.frozen:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            world.door.open()
            assert await imported.get() == {"level": bytes(15_000)}
            assert await reader.readexactly(5) == b"green"

    run(test)


def test_a_program_that_keeps_running_is_told_of_both() -> None:
    told: list[str] = []

    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = await migrate.aio_session(writer)
        session.register_handler(lambda session: told.append("suspended"))
        session.on_resume(lambda session: told.append("resumed"))
        session.on_end(lambda session: told.append(session.ended.code if session.ended else ""))
        with pytest.raises(migrate.RefusedError, match="only a suspended session"):
            await session.return_cont(migrate.complete(session))
        writer.write(await reader.readexactly(2))

    async def test() -> None:
        async with World(serve) as world:
            reader, writer = await world.client.open_connection()
            writer.write(b"a")
            world.door.shut()
            while told != ["suspended"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            world.door.open()
            while told != ["suspended", "resumed"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            writer.write(b"b")
            assert await reader.readexactly(2) == b"ab"
        assert told == ["suspended", "resumed", "closed"]

    run(test)


@pytest.mark.parametrize("there", [False, True])
def test_a_complete_continuation_that_nobody_takes_changes_nothing(daemon: FakeDaemon, there: bool) -> None:
    """The stream goes on byte by byte, although its state had been taken out of it."""
    denied: list[str] = []

    def refuse() -> None:
        request = daemon.expect(CreateSession)
        daemon.grant(request.number)
        record = daemon.deny_continuation()
        assert record.descriptors[0].startswith("migrate:listener")
        assert "connection" not in record.descriptors

    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = await migrate.aio_session(writer)
        session.register_handler(migrate.complete)
        session.on_denied(lambda session, error: denied.append(type(error).__name__))
        for number in range(2000):
            writer.write(b"%d\n" % number)
            await asyncio.sleep(0)
        writer.close()

    async def test() -> None:
        if not there:
            daemon.stop()
        async with World(serve) as world:
            reader, _ = await world.client.open_connection()
            assert await reader.readline() == b"0\n"
            refusing = asyncio.create_task(asyncio.to_thread(refuse)) if there else None
            world.door.shut()
            while not denied:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if refusing:
                await refusing
            world.door.open()
            world.client.retry_now()
            assert (await reader.read(-1)).split() == [b"%d" % number for number in range(1, 2000)]

    run(test)
    assert denied == ["RefusedError" if there else "UnavailableError"]


def test_a_process_with_two_sessions_can_not_end_with_one(daemon: FakeDaemon) -> None:
    denied: list[str] = []

    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = await migrate.aio_session(writer)
        session.register_handler(migrate.complete)
        session.on_denied(lambda session, error: denied.append(str(error)))
        await reader.read()

    async def test() -> None:
        async with World(serve) as world:
            _, first = await world.client.open_connection()
            port = world.server.sockets[0].getsockname()[1]
            other = await connect("127.0.0.1", port, identity=CLIENT, judge=trust, options=OPTIONS)
            _, second = await other.open_connection()
            world.door.shut()
            while not denied:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert other.state == "connected"
            for writer in (first, second):
                writer.close()
            other.abort()
            await other.wait_closed()

    run(test)
    assert "serves 2 sessions" in denied[0]


def test_a_server_that_does_not_know_migrate_can_not_give_up() -> None:
    async def serve(
        stream: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = await migrate.aio_session(writer)
        try:
            await session.return_cont(migrate.system())
        except migrate.RefusedError as error:
            writer.write(str(error).encode())
        writer.close()

    async def test() -> None:
        server = await start_stream_server(serve, "127.0.0.1", 0, identity=SERVER, judge=trust)
        port = server.sockets[0].getsockname()[1]
        client = await connect("127.0.0.1", port, identity=CLIENT, judge=trust)
        reader, _ = await client.open_connection()
        assert b"migrate.start_server" in await reader.read()
        await client.close()
        server.close()
        await server.wait_closed()

    run(test)
