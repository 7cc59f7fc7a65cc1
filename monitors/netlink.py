"""The kernel's news about links and addresses. The only one of these modules that imports pyroute2.

Rules, each learnt from a failure:

* Subscribe first, read everything second, then apply what came in between.
* One socket for news, another for requests: answers and news share sequence numbers.
* A socket that has overrun (ENOBUFS) never answers a request again. Close it, open
  another, read everything: the news that was dropped is in there.
* Importing pyroute2 takes 0.2 s, so it is imported when the first socket is opened.

Source: netlink(7), rtnetlink(7).
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import closing
from types import TracebackType
from typing import Any, Protocol, Self

from monitors.events import AddressPresent, LinkState
from monitors.messages import Book, Change, Message, Snapshot

RECEIVE_BUFFER = 1 << 20
"""Bytes asked for with SO_RCVBUF; the kernel may grant less (``net.core.rmem_max``)."""

QUIET_S = 0.002
DRAIN_LIMIT_S = 0.1
"""After a full read, take in news until there is none for ``QUIET_S``, for this long at most."""

DUMP_ATTEMPTS = 8

_LINKS = 0x1  # RTMGRP_LINK
_ADDRESSES = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_DUMP_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR

_log = logging.getLogger(__name__)


class ChangeSource(Protocol):
    """Where a monitor's news comes from; used as ``async with``."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def receive(self, deadline: float | None = None) -> tuple[Change, ...]:
        """Return the next changes, or nothing if the event loop's clock passes ``deadline`` (seconds)."""
        ...


class _Socket(Protocol):
    """The part of pyroute2's ``AsyncIPRoute`` that is used here."""

    async def bind(self, groups: int) -> None: ...
    async def get_links(self) -> AsyncIterator[dict[str, Any]]: ...
    async def get_addr(self) -> AsyncIterator[dict[str, Any]]: ...
    def get(self) -> AsyncIterator[dict[str, Any]]: ...
    def close(self) -> None: ...


async def read_links() -> tuple[LinkState, ...]:
    """Return the state of every link of this network namespace.

    Raises:
        OSError: the kernel refused or could not give a consistent answer.
    """
    return (await _read_all(addresses=False)).snapshot().links


async def read_addresses() -> tuple[AddressPresent, ...]:
    """Return every local address of this network namespace.

    Raises:
        OSError: the kernel refused or could not give a consistent answer.
    """
    return (await _read_all(addresses=True)).snapshot().addresses


class Feed:
    """News about links, and about addresses if asked for: first a ``Snapshot``, then changes.

    Another ``Snapshot`` comes after every overrun, ``overruns`` of which have happened.
    """

    def __init__(self, *, addresses: bool, receive_buffer: int = RECEIVE_BUFFER) -> None:
        self._with_addresses = addresses
        self._receive_buffer = receive_buffer
        self._socket: _Socket | None = None
        self._book = Book()
        self.overruns = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._close()

    async def receive(self, deadline: float | None = None) -> tuple[Change, ...]:
        """Return the next changes, waiting for some.

        Args:
            deadline: the event loop's time in seconds at which to give up and return nothing.

        Raises:
            OSError: the kernel refused the subscription or a full read.
        """
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    if self._socket is None:
                        return (await self._synchronise(),)
                    if changes := await self._next(self._socket):
                        return changes
        except TimeoutError:
            return ()

    async def _next(self, socket: _Socket) -> tuple[Change, ...]:
        try:
            messages = await _datagram(socket)
        except OSError as error:
            self._overrun(error)
            return ()
        return tuple(event for message in messages for event in self._book.apply(message))

    async def _synchronise(self) -> Snapshot:
        self._socket = await self._subscribe()
        try:
            self._book = await _read_all(addresses=self._with_addresses)
            for message in await _waiting(self._socket):
                self._book.apply(message)
        except OSError as error:
            # What was read is true, only what came in between is lost: the next call reads again.
            self._overrun(error)
        except BaseException:
            self._close()
            raise
        return self._book.snapshot()

    async def _subscribe(self) -> _Socket:
        socket = _open(self._receive_buffer)
        try:
            await socket.bind(groups=_LINKS | (_ADDRESSES if self._with_addresses else 0))
        except BaseException:
            socket.close()
            raise
        return socket

    def _overrun(self, error: OSError) -> None:
        self._close()
        if error.errno != errno.ENOBUFS:
            raise error
        self.overruns += 1
        _log.warning("the kernel's news came faster than it was read; everything is read again")

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _open(receive_buffer: int = RECEIVE_BUFFER) -> _Socket:
    from pyroute2.iproute.linux import AsyncIPRoute

    socket: _Socket = AsyncIPRoute(rcvbuf=receive_buffer)
    return socket


async def _datagram(socket: _Socket) -> list[Message]:
    return [message async for message in socket.get()]


async def _waiting(socket: _Socket) -> list[Message]:
    """Return the news that came during a full read, so that nothing old is told as new."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + DRAIN_LIMIT_S
    messages: list[Message] = []
    while loop.time() < give_up:
        try:
            async with asyncio.timeout(QUIET_S):
                messages += await _datagram(socket)
        except TimeoutError:
            break
    return messages


async def _read_all(*, addresses: bool) -> Book:
    for _ in range(DUMP_ATTEMPTS):
        messages = await _dump(addresses=addresses)
        if not any(message["header"]["flags"] & _DUMP_INTERRUPTED for message in messages):
            break
    else:
        raise OSError(errno.EAGAIN, "links and addresses change too fast for a consistent answer")
    book = Book()
    for message in messages:
        book.apply(message)
    return book


async def _dump(*, addresses: bool) -> list[dict[str, Any]]:
    from pyroute2.netlink.exceptions import NetlinkError

    with closing(_open()) as socket:
        try:
            messages = [message async for message in await socket.get_links()]
            if addresses:
                messages += [message async for message in await socket.get_addr()]
        except NetlinkError as error:
            raise OSError(error.code, "the kernel does not tell its links and addresses") from error
    return messages
