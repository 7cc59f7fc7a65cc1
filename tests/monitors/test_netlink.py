from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from monitors import netlink
from monitors.events import LinkGone
from monitors.messages import Snapshot
from monitors.netlink import DUMP_ATTEMPTS, Feed, read_addresses, read_links
from tests.monitors.samples import address, cut, link

Raw = dict[str, Any]
ENOBUFS = OSError(errno.ENOBUFS, "no buffer space")
INTERRUPTED = 0x10


def raw_link(*, carrier: int = 1, event: str = "RTM_NEWLINK", flags: int = 0) -> Raw:
    state = "UP" if carrier else "LOWERLAYERDOWN"
    raw = {"event": event, "family": 0, "index": 2, "ifname": "eth0", "flags": 1}
    return raw | {"carrier": carrier, "operstate": state, "header": {"flags": flags}}


RAW_ADDRESS: Raw = {
    "event": "RTM_NEWADDR",
    "family": 2,
    "index": 2,
    "prefixlen": 24,
    "flags": 0x80,
    "scope": 0,
    "local": "10.0.0.1",
    "label": "eth0",
    "header": {"flags": 0},
}


class FakeKernel:
    """Sockets that answer from ``links`` and ``addresses`` and give out ``news``, all logged in ``calls``."""

    def __init__(self) -> None:
        self.links: list[Raw] = [raw_link()]
        self.addresses: list[Raw] = [RAW_ADDRESS]
        self.news: asyncio.Queue[Raw | OSError] = asyncio.Queue()
        self.while_dumping: Callable[[], None] = lambda: None
        self.dump_error: Exception | None = None
        self.stuck = False
        self.calls: list[str] = []
        self.sockets: list[FakeSocket] = []

    def open(self, _receive_buffer: int = 0) -> FakeSocket:
        self.sockets.append(FakeSocket(self))
        return self.sockets[-1]


class FakeSocket:
    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self.closed = False

    async def bind(self, groups: int) -> None:
        self._kernel.calls.append(f"bind {groups:#x}")

    async def get_links(self) -> AsyncIterator[Raw]:
        self._kernel.calls.append("links")
        if self._kernel.stuck:
            await asyncio.Event().wait()
        if self._kernel.dump_error is not None:
            raise self._kernel.dump_error
        self._kernel.while_dumping()
        return self._each(self._kernel.links)

    async def get_addr(self) -> AsyncIterator[Raw]:
        self._kernel.calls.append("addresses")
        return self._each(self._kernel.addresses)

    async def get(self) -> AsyncIterator[Raw]:
        news = await self._kernel.news.get()
        if isinstance(news, OSError):
            raise news
        yield news

    def close(self) -> None:
        self.closed = True

    async def _each(self, messages: list[Raw]) -> AsyncIterator[Raw]:
        for message in messages:
            yield message


@pytest.fixture
def play(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[FakeKernel], Coroutine[Any, Any, None]]], None]:
    """Run a scene with a fake kernel, and check that no socket stays open."""

    def run(scene: Callable[[FakeKernel], Coroutine[Any, Any, None]]) -> None:
        async def with_kernel() -> None:
            kernel = FakeKernel()
            monkeypatch.setattr(netlink, "_open", kernel.open)
            monkeypatch.setattr(netlink, "DRAIN_LIMIT_S", 60.0)  # all that waits is read, however slowly
            await scene(kernel)
            assert all(socket.closed for socket in kernel.sockets)

        asyncio.run(with_kernel())

    return run


Play = Callable[[Callable[[FakeKernel], Coroutine[Any, Any, None]]], None]
BOTH = Snapshot(links=(link(),), addresses=(address(),))


def test_it_subscribes_first_and_reads_everything_second(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        async with Feed(addresses=True) as feed:
            assert await feed.receive() == (BOTH,)
            assert kernel.calls == ["bind 0x111", "links", "addresses"]
            kernel.news.put_nowait(raw_link(carrier=0))
            assert await feed.receive() == (cut(),)

    play(scene)


def test_links_alone_cost_no_news_of_addresses(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        async with Feed(addresses=False) as feed:
            assert await feed.receive() == (Snapshot(links=(link(),)),)
            assert kernel.calls == ["bind 0x1", "links"]

    play(scene)


def test_news_that_came_during_the_full_read_is_in_the_snapshot(play: Play) -> None:
    """An old loss must not be told after the read that already knows of the gain."""

    async def scene(kernel: FakeKernel) -> None:
        def flap() -> None:
            kernel.news.put_nowait(raw_link(carrier=0))
            kernel.news.put_nowait(raw_link())

        kernel.while_dumping = flap
        async with Feed(addresses=False) as feed:
            assert await feed.receive() == (Snapshot(links=(link(),)),)
            assert kernel.news.empty()

    play(scene)


def test_after_an_overrun_there_is_another_socket_and_another_snapshot(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        async with Feed(addresses=True) as feed:
            await feed.receive()
            kernel.links, kernel.addresses = [raw_link(carrier=0)], []
            kernel.news.put_nowait(ENOBUFS)
            kernel.calls.clear()
            assert await feed.receive() == (Snapshot(links=(cut(),)),)
            assert kernel.calls == ["bind 0x111", "links", "addresses"]
            assert kernel.sockets[0].closed
            assert feed.overruns == 1

    play(scene)


def test_an_overrun_during_the_full_read_leads_to_another(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        def storm() -> None:
            kernel.news.put_nowait(raw_link(carrier=0))
            kernel.news.put_nowait(ENOBUFS)

        kernel.while_dumping = storm
        async with Feed(addresses=False) as feed:
            assert await feed.receive() == (Snapshot(links=(link(),)),)
            kernel.while_dumping = lambda: None
            kernel.links = []
            assert await feed.receive() == (Snapshot(links=()),)
            assert feed.overruns == 1

    play(scene)


def test_other_errors_are_not_hidden(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        async with Feed(addresses=False) as feed:
            await feed.receive()
            kernel.news.put_nowait(OSError(errno.EBADF, "closed"))
            with pytest.raises(OSError, match="closed"):
                await feed.receive()

    play(scene)


def test_an_interrupted_answer_is_asked_for_again(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        def settle() -> None:
            if kernel.calls.count("links") == 3:
                kernel.links = [raw_link()]

        kernel.links, kernel.while_dumping = [raw_link(carrier=0, flags=INTERRUPTED)], settle
        assert await read_links() == (link(),)
        assert kernel.calls == ["links"] * 3

    play(scene)


def test_an_answer_that_is_always_interrupted_is_an_error(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        kernel.links = [raw_link(flags=INTERRUPTED)]
        with pytest.raises(OSError, match="too fast for a consistent answer"):
            await read_links()
        assert kernel.calls == ["links"] * DUMP_ATTEMPTS

    play(scene)


def test_a_refusal_of_the_kernel_is_an_os_error(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        kernel.dump_error = NetlinkError(errno.EPERM)
        with pytest.raises(OSError, match="does not tell") as caught:
            await read_addresses()
        assert caught.value.errno == errno.EPERM
        async with Feed(addresses=False) as feed:
            with pytest.raises(OSError, match="does not tell"):
                await feed.receive()

    play(scene)


def test_a_deadline_ends_the_wait_and_loses_nothing(play: Play) -> None:
    async def scene(kernel: FakeKernel) -> None:
        loop = asyncio.get_running_loop()
        async with Feed(addresses=False) as feed:
            kernel.stuck = True
            assert await feed.receive(loop.time()) == ()
            kernel.stuck = False
            assert await feed.receive() == (Snapshot(links=(link(),)),)
            assert await feed.receive(loop.time()) == ()
            kernel.news.put_nowait(raw_link(event="RTM_DELLINK"))
            assert await feed.receive() == (LinkGone(interface="eth0", index=2),)

    play(scene)


def test_one_shot_reads(play: Play) -> None:
    async def scene(_kernel: FakeKernel) -> None:
        assert await read_links() == (link(),)
        assert await read_addresses() == (address(),)

    play(scene)


def test_pyroute2_is_imported_only_with_the_first_socket() -> None:
    program = (
        "import sys, monitors.host, monitors.carrier, monitors.address; sys.exit('pyroute2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
