"""A server and a client on the loopback, and a relay between them that resets what passes through it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sessionlayer import aio

LOOPBACK = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)


def trusting(_key: bytes) -> str:
    return ""


def new_key() -> aio.HostKey:
    return aio.HostKey.generate(os.urandom)


@dataclass
class Accepted:
    """What a server's program was given, in order."""

    arrivals: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(
        default_factory=asyncio.Queue
    )

    def __call__(
        self, _session: aio.StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.arrivals.put_nowait((reader, writer))


@dataclass
class Pair:
    server: aio.StreamServer
    session: aio.StreamSession
    accepted: Accepted
    relay: Relay
    identity: aio.HostKey
    writers: list[asyncio.StreamWriter] = field(
        default_factory=list
    )  # an unclosed one would warn when it goes

    @property
    def serving(self) -> aio.StreamSession:
        """Return the server's end of the session."""
        (session,) = self.server.sessions
        return session

    async def streams(
        self, purpose: bytes = b"", *, sealed: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection: the client's reader and writer, then the server's."""
        near = await self.session.open_connection(purpose, sealed=sealed)
        far = await self.accepted.arrivals.get()
        self.writers += (near[1], far[1])
        return *near, *far


@asynccontextmanager
async def pair(**settings: Any) -> AsyncIterator[Pair]:
    """Connect a client through a relay to a server; ``admit`` and ``options`` are passed on."""
    accepted = Accepted()
    options = settings.pop("options", aio.StreamOptions())
    server = await aio.start_server(
        accepted, LOOPBACK, 0, identity=new_key(), judge=trusting, options=options, **settings
    )
    relay = Relay(port_of(server))
    identity = new_key()
    session = await aio.connect(LOOPBACK, relay.port, identity=identity, judge=trusting, options=options)
    both = Pair(server, session, accepted, relay, identity)
    try:
        yield both
    finally:
        for writer in both.writers:
            writer.close()
        session.abort()
        await session.wait_closed()
        server.close()
        await server.wait_closed()
        await relay.close()


def port_of(server: aio.StreamServer) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


class Relay:
    """Pass TCP connections on to a port, until they are reset or cut off silently."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._listener = socket.create_server((LOOPBACK, 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._passing: dict[tuple[socket.socket, socket.socket], list[asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.open = True
        self._heard = asyncio.Event()
        self._heard.set()
        self.passed = 0
        self.resets = 0
        self._start(self._accept())

    def _start(self, work: Any) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self) -> None:
        while True:
            near, _ = await self._loop.sock_accept(self._listener)
            if not self.open:
                reset(near)
                continue
            far = socket.create_connection((LOOPBACK, self._target))
            both = (near, far)
            for sock in both:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.passed += 1
            ways = ((near, far), (far, near))
            self._passing[both] = [self._start(self._pass(*way, both)) for way in ways]

    async def _pass(
        self, source: socket.socket, sink: socket.socket, both: tuple[socket.socket, socket.socket]
    ) -> None:
        try:
            while data := await self._loop.sock_recv(source, 65536):
                await self._heard.wait()
                await self._loop.sock_sendall(sink, data)
            await self._heard.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._reset(both)

    def _reset(self, both: tuple[socket.socket, socket.socket]) -> None:
        tasks = self._passing.pop(both, None)
        if tasks:
            self.resets += 1
            for task in tasks:
                task.cancel()
            for sock in both:
                self._loop.remove_reader(sock.fileno())
                self._loop.remove_writer(sock.fileno())
                reset(sock)

    def mute(self) -> None:
        """Let connections be made, and nothing pass over them, until ``unmute``."""
        self._heard.clear()

    def unmute(self) -> None:
        self._heard.set()

    def reset_all(self) -> None:
        """Reset every transport that passes, with whatever is under way."""
        for both in tuple(self._passing):
            self._reset(both)

    def reset_newest(self) -> None:
        """Reset the transport that was made last."""
        self._reset(tuple(self._passing)[-1])

    def hang_up(self) -> None:
        """Close every transport that passes: who has seen the other's end already hears nothing of it."""
        for both, tasks in self._passing.items():
            for task in tasks:
                task.cancel()
            for sock in both:
                self._loop.remove_reader(sock.fileno())
                self._loop.remove_writer(sock.fileno())
                sock.close()
        self._passing.clear()

    @property
    def passing(self) -> int:
        """How many transports pass now."""
        return len(self._passing)

    async def reset_every(self, seconds: float) -> None:
        """Reset again and again, but let something pass first where other programs have the processor."""
        while True:
            begun = time.process_time()
            await asyncio.sleep(seconds)
            while time.process_time() - begun < seconds / 2:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(seconds / 7)
            self.reset_all()

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.reset_all()
        self._listener.close()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()
