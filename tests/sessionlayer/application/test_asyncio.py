"""An asyncio program and a scripted daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import sessionlayer as migrate
from sessionlayer.application.giving import UNREAD, UNSENT
from sessionlayer.application.grip import Buffered
from sessionlayer.application.messages import (
    DependOn,
    HandlerFailed,
    KeepRunning,
    RegisterAttachHandler,
    RegisterHandler,
    Resume,
    Suspend,
)
from sessionlayer.application.streams import connect_protocol
from sessionlayer.continuations.values import CONNECTION, Kind
from sessionlayer.continuations.values import Continuation as Record
from tests.sessionlayer.application.fake_daemon import PATIENCE_S, SESSION, FakeDaemon

Ends = tuple[socket.socket, socket.socket]
SUSPEND = Suspend(session=SESSION, because=("no-link",), deadline_s=5.0, required=True)


class Program:
    """A session in a task that waits for ever, as a server's would that reads."""

    def __init__(self, daemon: FakeDaemon, program: socket.socket) -> None:
        self.daemon = daemon
        self._socket = program
        self.served: asyncio.Task[None]
        self.session: migrate.Session
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def start(self, handler: Any) -> None:
        ready = asyncio.Event()

        async def serve() -> None:
            self.reader, self.writer = await asyncio.open_connection(sock=self._socket)
            self.session = await migrate.aio_session(self.writer)
            await self.session.register_handler(handler)
            ready.set()
            await asyncio.Event().wait()

        self.served = asyncio.create_task(serve())
        await self.say(self.daemon.grant_session)
        request = await self.say(self.daemon.expect, RegisterHandler)
        self.daemon.grant(request.number)
        await ready.wait()

    async def say(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(call, *arguments)

    async def suspend(self) -> None:
        self.daemon.say(SUSPEND)

    async def stop(self) -> None:
        self.served.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.served
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing in the program tells
        await asyncio.sleep(0)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_handler_of_either_kind_runs_in_the_loop(
    daemon: FakeDaemon, connection: Ends, asynchronous: bool
) -> None:
    async def test() -> None:
        threads: list[int] = []

        def sync(session: migrate.Session) -> None:
            threads.append(threading.get_ident())

        async def later(session: migrate.Session) -> None:
            await asyncio.sleep(0)
            sync(session)

        program = Program(daemon, connection[0])
        await program.start(later if asynchronous else sync)
        await program.suspend()
        await program.say(daemon.expect, KeepRunning)
        assert threads == [threading.get_ident()]
        resumed = program.session.resumed()
        daemon.say(Resume(session=SESSION))
        assert await resumed is program.writer
        await program.stop()

    run(test)


def test_an_async_handler_that_raises_is_told_of(
    daemon: FakeDaemon, connection: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async def handler(session: migrate.Session) -> None:
            raise LookupError("no such mount")

        program = Program(daemon, connection[0])
        await program.start(handler)
        await program.suspend()
        failed = await program.say(daemon.expect, HandlerFailed)
        assert failed.reason == "LookupError: no such mount"
        await program.stop()

    run(test)


class Echo(asyncio.Protocol):
    """Greets, and says what it is told again, in brackets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"hello ")

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"<%b>" % data)


def test_a_protocol_goes_on_with_what_asyncio_had(connection: Ends) -> None:
    """What was not sent is first, and what was not read comes before what has arrived since."""

    async def test() -> None:
        connection[1].sendall(b"later")
        protocol = Echo()
        transport = await connect_protocol(connection[0], Buffered(b"unsent ", b"unread"), protocol)
        assert transport.get_protocol() is protocol
        expected = b"unsent hello <unread><later>"
        with connection[1].makefile("rb") as stream:
            assert await asyncio.to_thread(stream.read, len(expected)) == expected
        transport.abort()
        await asyncio.sleep(0)

    run(test)


def fill(writer: asyncio.StreamWriter) -> int:
    """Write until the kernel takes no more, and some; return how many bytes."""
    count = 0
    while not writer.transport.get_write_buffer_size():
        writer.write(b"%07d\n" % (count // 8) * 1000)
        count += 8000
    return count


def test_what_asyncio_holds_travels_along(daemon: FakeDaemon, connection: Ends) -> None:
    """What was written and not sent, and what was received and not read, is neither lost nor repeated."""
    gone_on: asyncio.Future[tuple[bytes, asyncio.StreamWriter]]

    @migrate.function("asyncio-resume")
    async def resume(
        session: migrate.Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        gone_on.set_result((await reader.readexactly(12), writer))

    async def test() -> None:
        nonlocal gone_on
        gone_on = asyncio.get_running_loop().create_future()
        program = Program(daemon, connection[0])
        await program.start(lambda session: migrate.internal("asyncio-resume"))
        client = connection[1]
        client.sendall(b"first ")
        await until(lambda: len(getattr(program.reader, "_buffer")) == 6)  # noqa: B009
        written = fill(program.writer)
        await program.suspend()
        attach = await program.say(daemon.expect, RegisterAttachHandler)
        daemon.grant(attach.number)
        record, descriptors = await program.say(daemon.take_continuation)
        assert record.attributes[UNREAD] == b"first "
        assert 0 < len(record.attributes[UNSENT]) < written
        with pytest.raises(asyncio.CancelledError):
            await program.served
        client.sendall(b"second")
        daemon.invoke(record, descriptors)
        received = bytearray()
        while len(received) < written:
            received += await program.say(client.recv, 1 << 20)
        assert bytes(received) == b"".join(b"%07d\n" % (n // 1000 * 1000) for n in range(written // 8))
        read, writer = await gone_on
        assert read == b"first second"
        writer.close()
        await writer.wait_closed()

    run(test)


def test_a_denied_internal_continuation_goes_on_when_the_link_is_back(
    daemon: FakeDaemon, connection: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    """The task has ended, so what continues it must run, also where nobody keeps the continuation."""

    @migrate.function("asyncio-denied")
    async def resume(
        session: migrate.Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"here again")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def test() -> None:
        program = Program(daemon, connection[0])
        await program.start(lambda session: migrate.internal("asyncio-denied"))
        await program.suspend()
        attach = await program.say(daemon.expect, RegisterAttachHandler)
        daemon.grant(attach.number)
        await program.say(daemon.deny_continuation)
        await until(lambda: "no room" in caplog.text)
        daemon.say(Resume(session=SESSION))
        assert await program.say(connection[1].recv, 100) == b"here again"

    run(test)


def test_a_system_continuation_is_waited_for_and_opened(daemon: FakeDaemon, connection: Ends) -> None:
    async def test() -> None:
        program = Program(daemon, connection[0])
        await program.start(lambda session: migrate.system())
        await program.suspend()
        record, descriptors = await program.say(daemon.take_continuation)
        assert record.kind is Kind.SYSTEM
        resumed = program.session.resumed()
        daemon.invoke(record, descriptors)
        await resumed
        _, writer = await program.session.open()
        writer.write(b"back")
        assert await program.say(connection[1].recv, 100) == b"back"
        writer.close()
        await writer.wait_closed()

    run(test)


def test_a_request_can_be_awaited(daemon: FakeDaemon, connection: Ends) -> None:
    async def test() -> None:
        program = Program(daemon, connection[0])
        await program.start(lambda session: None)
        outcome = program.session.depend_on(program.session)
        assert not outcome.done
        request = await program.say(daemon.expect, DependOn)
        daemon.grant(request.number)
        await outcome
        await program.stop()

    run(test)


def test_an_attach_handler_gets_a_reader_and_a_writer(daemon: FakeDaemon, connection: Ends) -> None:
    async def test() -> None:
        taken = asyncio.get_running_loop().create_future()

        async def attach(
            session: migrate.Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            taken.set_result((session.retrieve("mount"), await reader.readexactly(4)))
            writer.close()
            await writer.wait_closed()

        outcome = migrate.register_attach_handler("radio", attach)
        request = await asyncio.to_thread(daemon.expect, RegisterAttachHandler)
        daemon.grant(request.number)
        await outcome
        record = Record(
            descriptors=(CONNECTION,), attributes={"mount": b"/live", UNREAD: b"ab"}, function="elsewhere"
        )
        daemon.invoke(record, [os.dup(connection[0].fileno())], session=bytes(16), program="radio")
        connection[1].sendall(b"cd")
        assert await taken == (b"/live", b"abcd")

    run(test)
