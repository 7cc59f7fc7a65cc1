"""A gateway and its clients in one process, over the loopback."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from migrated.streams.admission import Admission
from migrated.streams.authorized import key_text
from migrated.streams.gateway import Gateway
from migrated.streams.rules import read_rule
from sessionlayer.aio import (
    HostKey,
    Resumed,
    StreamError,
    StreamRefusedError,
    StreamSession,
    connect,
    start_server,
)
from tests.migrated.streams.pairs import read_all, read_exactly, reset

CLIENT, SERVER = (HostKey.from_private(bytes([number]) * 32) for number in (1, 2))
STRANGER = HostKey.from_private(bytes([3]) * 32)


@dataclass(frozen=True, slots=True)
class Scene:
    """A client's session with a gateway that may reach one listening socket."""

    session: StreamSession
    gateway: Gateway
    port: int
    listener: socket.socket
    keys: Path

    @property
    def purpose(self) -> bytes:
        return f"localhost:{self.listener.getsockname()[1]}".encode()

    async def accept(self) -> socket.socket:
        sock, _ = await asyncio.get_running_loop().sock_accept(self.listener)
        return sock


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Scene]:
    keys = folder / "authorized_keys"
    keys.write_text(f"{key_text(CLIENT.public_bytes)} ann\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        rules = (read_rule(f"localhost:{listener.getsockname()[1]}"), read_rule(f"unix:{folder}/x.sock"))
        gateway = Gateway(Admission(keys, rules))
        server = await start_server(
            gateway.connected, "127.0.0.1", 0, identity=SERVER, judge=gateway.judge, admit=gateway.admit
        )
        port = server.sockets[0].getsockname()[1]
        session = await connect("127.0.0.1", port, identity=CLIENT, judge=lambda _: "")
        yield Scene(session, gateway, port, listener, keys)
        session.abort()
        await session.wait_closed()
        server.close()
        await server.wait_closed()


@pytest.fixture
def perform(tmp_path: Path) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    def run(play: Callable[[Scene], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(120), staged(tmp_path) as scene:
                await play(scene)

        asyncio.run(whole())

    return run


async def write_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0)


Perform = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_bytes_and_ends_pass_both_ways(perform: Perform) -> None:
    async def play(scene: Scene) -> None:
        reader, writer = await scene.session.open_connection(scene.purpose)
        with await scene.accept() as there:
            data = os.urandom(1 << 20)
            writer.write(data)
            writer.write_eof()
            assert await read_all(there) == data
            await asyncio.get_running_loop().sock_sendall(there, data)
            there.shutdown(socket.SHUT_WR)
            assert await reader.read() == data

    perform(play)


def test_a_unix_socket_can_be_a_destination(perform: Perform, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async def play(scene: Scene) -> None:
        path = tmp_path / "x.sock"
        with pytest.raises(StreamRefusedError, match=r"`unix:.*`: no such file or directory"):
            await scene.session.open_connection(f"unix:{path}".encode())
        async with await asyncio.start_unix_server(serve, path):
            reader, writer = await scene.session.open_connection(f"unix:{path}".encode())
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"hello"

    perform(play)


def test_a_reset_of_the_destinations_reaches_the_client(perform: Perform) -> None:
    async def play(scene: Scene) -> None:
        reader, writer = await scene.session.open_connection(scene.purpose)
        there = await scene.accept()
        writer.write(b"x")
        await read_exactly(there, 1)
        reset(there)
        with pytest.raises(StreamError):
            await reader.read()

    perform(play)


def test_a_client_that_gives_up_is_a_reset_to_the_destination(perform: Perform) -> None:
    async def play(scene: Scene) -> None:
        _, writer = await scene.session.open_connection(scene.purpose)
        with await scene.accept() as there:
            writer.transport.abort()
            with pytest.raises(ConnectionResetError):
                await read_all(there)

    perform(play)


def test_a_destination_that_has_ended_can_still_give_up(perform: Perform) -> None:
    async def play(scene: Scene) -> None:
        reader, writer = await scene.session.open_connection(scene.purpose)
        there = await scene.accept()
        there.shutdown(socket.SHUT_WR)
        assert await reader.read() == b""
        there.close()  # what comes now is answered with a reset
        with pytest.raises(ConnectionError):
            await write_for_ever(writer)

    perform(play)


@pytest.mark.parametrize(
    ("purpose", "reason"),
    [
        (b"127.0.0.1:1", "`127.0.0.1:1` is not among the destinations that your key may reach"),
        (b"unix:/run/other", "`unix:/run/other` is not among the destinations"),
        (b"nonsense", "`nonsense` has no port"),
        (b"\xff\xfe:1", "codec can't decode"),
        (b"", "`` has no port"),
    ],
)
def test_what_is_not_allowed_is_refused_with_the_reason(
    perform: Perform, purpose: bytes, reason: str
) -> None:
    async def play(scene: Scene) -> None:
        with pytest.raises(StreamRefusedError) as caught:
            await scene.session.open_connection(purpose)
        assert reason in caught.value.reason

    perform(play)


def test_a_destination_that_refuses_says_so_to_the_client(perform: Perform) -> None:
    async def play(scene: Scene) -> None:
        purpose = scene.purpose
        scene.listener.close()
        with pytest.raises(StreamRefusedError, match=r"cannot connect to `localhost:.*`: connection refused"):
            await scene.session.open_connection(purpose)

    perform(play)


def test_a_key_that_is_taken_away_reaches_nothing_more(perform: Perform) -> None:
    async def play(scene: Scene) -> None:
        scene.keys.write_text("")
        with pytest.raises(StreamRefusedError, match="not among the destinations"):
            await scene.session.open_connection(scene.purpose)

    perform(play)


def test_a_key_that_is_taken_away_resumes_nothing(perform: Perform, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        followed: list[StreamSession] = []
        follow = scene.gateway._follow

        def noting(session: StreamSession) -> None:
            followed.append(session)
            follow(session)

        monkeypatch.setattr(scene.gateway, "_follow", noting)
        _, writer = await scene.session.open_connection(scene.purpose)
        with await scene.accept() as there:
            for keys, state in ((scene.keys.read_text(), "connected"), ("", "closed")):
                scene.keys.write_text(keys)
                followed[0]._tell(Resumed(after_s=2.0))
                await asyncio.sleep(0)
                assert followed[0].state == state
            with pytest.raises(ConnectionResetError):
                await read_all(there)
        await scene.session.wait_closed()
        writer.close()

    perform(play)


def test_a_stranger_is_refused_and_told_why(perform: Perform) -> None:
    async def play(scene: Scene) -> None:
        with pytest.raises(StreamRefusedError, match="not in the gateway's file of authorized keys"):
            await connect("127.0.0.1", scene.port, identity=STRANGER, judge=lambda _: "")

    perform(play)


def test_a_client_that_leaves_while_it_waits_leaves_no_connection_behind(
    perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        asked, answer = loop.create_future(), loop.create_future()
        real = loop.getaddrinfo

        async def slow(host: str, *arguments: Any, **options: Any) -> Any:
            if host == "localhost":  # and not the client, which looks for the gateway
                asked.set_result(None)
                await answer
            return await real(host, *arguments, **options)

        monkeypatch.setattr(loop, "getaddrinfo", slow)
        opening = asyncio.create_task(scene.session.open_connection(scene.purpose))
        await asked
        scene.session.abort()
        with pytest.raises(StreamError):
            await opening
        answer.set_result(None)
        with await scene.accept() as there, pytest.raises(ConnectionResetError):
            await read_all(there)
        assert scene.gateway.connections == 0

    perform(play)
