from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from migrated.streams.relay import relay
from tests.migrated.streams.pairs import read_all, read_exactly, reset, tcp_pair

MUCH = 64 << 20
LITTLE = 16 << 20
"""More than the kernel and the relay hold."""

Play = Callable[[socket.socket, socket.socket, "asyncio.Task[None]"], Awaitable[None]]


def perform(play: Play) -> None:
    async def run() -> None:
        (near, near_end), (far_end, far) = tcp_pair(), tcp_pair()
        one = await asyncio.open_connection(sock=near_end)
        other = await asyncio.open_connection(sock=far_end)
        task = asyncio.create_task(relay(one, other))
        with near, far:
            async with asyncio.timeout(120):
                await play(near, far, task)
                await asyncio.wait({task})

    asyncio.run(run())


def test_the_two_directions_end_apart() -> None:
    async def play(near: socket.socket, far: socket.socket, task: asyncio.Task[None]) -> None:
        near.send(b"question")
        near.shutdown(socket.SHUT_WR)
        assert await read_all(far) == b"question"
        far.send(b"answer")
        assert await read_exactly(near, 6) == b"answer"
        assert not task.done()
        far.shutdown(socket.SHUT_WR)
        assert await read_all(near) == b""
        await task

    perform(play)


def test_a_reset_does_not_look_like_an_end() -> None:
    async def play(near: socket.socket, far: socket.socket, task: asyncio.Task[None]) -> None:
        near.send(b"x")
        assert await read_exactly(far, 1) == b"x"
        reset(near)
        with pytest.raises(ConnectionResetError):
            await read_all(far)
        with pytest.raises(ConnectionResetError):
            await task

    perform(play)


def test_what_is_cancelled_does_not_look_like_an_end() -> None:
    async def play(near: socket.socket, far: socket.socket, task: asyncio.Task[None]) -> None:
        near.send(b"x")
        assert await read_exactly(far, 1) == b"x"
        task.cancel()
        for sock in (near, far):
            with pytest.raises(ConnectionResetError):
                await read_all(sock)
        assert (await asyncio.wait({task}))[0] == {task}
        assert task.cancelled()

    perform(play)


def test_a_reader_who_waits_makes_the_writer_wait_and_loses_nothing() -> None:
    async def play(near: socket.socket, far: socket.socket, task: asyncio.Task[None]) -> None:
        sent = 0

        async def send() -> None:
            nonlocal sent
            block = bytes(1 << 16)
            while sent < MUCH:
                await asyncio.get_running_loop().sock_sendall(near, block)
                sent += len(block)
            near.shutdown(socket.SHUT_WR)

        sending = asyncio.create_task(send())
        before = -1
        while before != sent:
            before = sent
            for _ in range(500):
                await asyncio.sleep(0)
        assert 0 < sent < LITTLE
        assert await read_all(far) == bytes(MUCH)
        await sending
        far.shutdown(socket.SHUT_WR)
        await task

    perform(play)
