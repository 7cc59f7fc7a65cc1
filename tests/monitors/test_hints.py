from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from monitors.hints import DRAIN_MAX, await_hint, subscribe

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(60.0)
        yield ours, theirs


def is_b(datagram: bytes) -> bool:
    return datagram == b"b"


def waited(news: socket.socket | None, wait_s: float = 10.0) -> bool:
    return asyncio.run(await_hint(news, is_b, wait_s))


def test_it_waits_for_a_message_that_is_one(ends: Ends) -> None:
    for datagram in (b"a", b"", b"b", b"a", b"b"):
        ends[1].send(datagram)
    assert waited(ends[0])
    with pytest.raises(BlockingIOError):  # what waited behind it is passed over
        ends[0].recv(1)


def test_it_gives_up_in_time(ends: Ends) -> None:
    ends[1].send(b"a")
    assert not waited(ends[0], 0.01)
    assert not waited(None, 0.0)


def test_a_flood_stops_nobody(ends: Ends) -> None:
    async def scene() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                ends[1].send(b"a")
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        assert not await await_hint(ends[0], is_b, 0.5)
        assert turns > 10
        task.cancel()

    asyncio.run(scene())


def failing(number: int) -> Callable[..., Coroutine[Any, Any, bytes]]:
    async def receive(*_: object) -> bytes:
        raise OSError(number, "")

    return receive


def test_lost_messages_are_a_hint(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> bool:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_recv", failing(errno.ENOBUFS))
        return await await_hint(ends[0], is_b, 10.0)

    assert asyncio.run(scene())


def test_a_broken_socket_is_an_error(ends: Ends) -> None:
    ends[0].close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        waited(ends[0])


def test_draining_has_an_end() -> None:
    class Endless(socket.socket):
        taken = 0

        def recv(self, *_: object) -> bytes:
            self.taken += 1
            return b"b"

    with Endless(socket.AF_UNIX, socket.SOCK_DGRAM) as news:
        news.setblocking(False)
        assert waited(news)
        assert news.taken == 1 + DRAIN_MAX


def test_the_kernel_is_heard() -> None:
    """The family of families tells its group `notify` of others; here it is only subscribed to."""
    with subscribe(16, (16,)) as news:
        assert not news.getblocking()
        assert not waited(news, 0.0)
    with pytest.raises(OSError, match="Invalid argument"):
        subscribe(16, (1 << 20,))
    with pytest.raises(OSError, match="rotocol not supported"):
        subscribe(31, ())
