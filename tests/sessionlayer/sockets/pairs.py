"""Pairs of connected sockets of three kinds."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sessionlayer.protocol.keys import HostKey
from sessionlayer.sockets import StreamListener, StreamSocket, create_connection, create_server
from sessionlayer.sockets.background import background
from sessionlayer.testing import Pair

PATIENCE_S = 60.0
"""How long something may take that must come; nothing is measured by it."""

SERVER, CLIENT = HostKey.generate(os.urandom), HostKey.generate(os.urandom)


def trust(key: bytes) -> str:
    return ""


def listening() -> StreamListener:
    return create_server(("127.0.0.1", 0), identity=SERVER, judge=trust)


def connect_to(
    listener: StreamListener, timeout: float | None = PATIENCE_S, purpose: bytes = b""
) -> StreamSocket:
    address = listener.getsockname()
    return create_connection(address[:2], timeout, identity=CLIENT, judge=trust, purpose=purpose)


def streams() -> Pair:
    with listening() as listener:
        client = connect_to(listener)
        listener.settimeout(PATIENCE_S)
        served, _ = listener.accept()
    return client, served


def tcp() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        served, _ = server.accept()
    return client, served


PAIRS: dict[str, Callable[[], Pair]] = {
    "tcp": tcp,
    "socketpair": socket.socketpair,
    "streams": streams,
    "streams-served": lambda: tuple(reversed(streams())),  # type: ignore[dict-item, return-value]
}


def wait_until_quiet() -> None:
    """Wait until nothing is under way in the background any more."""

    async def quiet() -> None:
        while len(asyncio.all_tasks()) > 1 or sockets_in_loop() > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    background.run(quiet(), PATIENCE_S)


def sockets_in_loop() -> int:
    """Return how many descriptors the background's loop minds; one is its own."""
    selector = background.loop()._selector  # type: ignore[attr-defined]
    return len(selector.get_map())


@contextmanager
def closed_at_the_end(pair: Pair) -> Iterator[Pair]:
    with pair[0], pair[1]:
        yield pair
