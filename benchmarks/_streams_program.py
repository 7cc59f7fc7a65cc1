"""The client and the server whose connections are measured: one program, over native TCP and over streams.

    _streams_program.py serve KIND ADDRESS
    _streams_program.py call KIND ADDRESS PORT CONNECTIONS

The server prints `ready PORT`, the client `ready`. The client then carries out each line of its input, and
answers with one JSON object a line:

    burst BYTES COUNT    send so many blocks of so many bytes, until the server has read them all
    echo BYTES COUNT     send a message and wait for its echo, again and again
    reset BYTES          reset every TCP connection of this process; an echo over each of its connections
    reconnect BYTES      the same for plain TCP: close all connections, make new ones, an echo over each

Kinds are `tcp`, `stream` and `sealed` (asyncio's streams), and `socket` and `stream-socket` (blocking).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from sessionlayer import aio, sockets

HEAD = struct.Struct(">BQ")
BURST, ECHO = 1, 2
TOOK = struct.Struct(">d")
BLOCK = 1 << 18
AF_UNSPEC = struct.pack("=H14x", socket.AF_UNSPEC)
LIBC = ctypes.CDLL(None, use_errno=True)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Figures = dict[str, float | list[float]]


def tell(text: str) -> None:
    print(text, flush=True)


def processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def nobody_is_refused(key: bytes) -> str:
    del key
    return ""


# -- asyncio ---------------------------------------------------------------------------------------------


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read bursts and say what processor time they took, echo what is to be echoed."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            work, left = HEAD.unpack(await reader.readexactly(HEAD.size))
            before = processor_s()
            while left:
                data = await reader.read(min(left, BLOCK))
                if not data:
                    return
                left -= len(data)
                if work == ECHO:
                    writer.write(data)
            if work == BURST:
                writer.write(TOOK.pack(processor_s() - before))


async def burst(streams: Streams, size: int, count: int) -> Figures:
    reader, writer = streams
    block = bytes(size)
    before, begun = processor_s(), time.perf_counter()
    writer.write(HEAD.pack(BURST, size * count))
    for _ in range(count):
        writer.write(block)
        await writer.drain()
    (peer_s,) = TOOK.unpack(await reader.readexactly(TOOK.size))
    took = time.perf_counter() - begun
    return {"seconds": took, "client_s": processor_s() - before, "server_s": peer_s}


async def echo(streams: Streams, size: int, count: int) -> Figures:
    reader, writer = streams
    message, times = os.urandom(size), []
    writer.write(HEAD.pack(ECHO, size * count))
    for _ in range(count):
        begun = time.perf_counter()
        writer.write(message)
        await reader.readexactly(size)
        times.append(1e6 * (time.perf_counter() - begun))
    return {"us": times}


class Caller:
    """The client's connections, all in one session where they are streams."""

    def __init__(self, kind: str, address: str, port: int) -> None:
        self._kind, self._address, self._port = kind, address, port
        self._session: aio.StreamSession | None = None
        self.connections: list[Streams] = []

    async def open(self, count: int) -> None:
        """Make so many connections at once."""
        if self._kind != "tcp":
            key = aio.HostKey.generate(os.urandom)
            self._session = await aio.connect(
                self._address, self._port, identity=key, judge=nobody_is_refused
            )
        self.connections = list(await asyncio.gather(*(self._connected() for _ in range(count))))

    async def _connected(self) -> Streams:
        if self._session:
            return await self._session.open_connection(sealed=self._kind == "sealed")
        return await asyncio.open_connection(self._address, self._port, limit=BLOCK)

    async def reset(self, size: int) -> Figures:
        """Return when the first and the last echo came after a reset of all transports, in ms."""
        return await self._echoes(size, reset_all(self._port))

    async def reconnect(self, size: int) -> Figures:
        """Return the same for connections that are made anew, and lose what was in them."""
        count = len(self.connections)
        begun = reset_all(self._port)
        for _, writer in self.connections:
            writer.transport.abort()
        await self.open(count)
        return await self._echoes(size, begun)

    async def _echoes(self, size: int, begun: float) -> Figures:
        message = HEAD.pack(ECHO, size) + os.urandom(size)

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
            writer.write(message)
            await reader.readexactly(size)
            return 1e3 * (time.perf_counter() - begun)

        times = await asyncio.gather(*(one(*streams) for streams in self.connections))
        return {"first_ms": min(times), "last_ms": max(times)}


def reset_all(port: int) -> float:
    """Reset this process's TCP connections to a port, as a middlebox may, and return when that began.

    Both ends get an error at once.

    Source: connect(2), AF_UNSPEC dissolves a connection; Linux then sends a reset.
    """
    with ExitStack() as stack:
        found = [stack.enter_context(sock) for sock in own_sockets()]
        leading = [sock for sock in found if leads_to(sock, port)]
        begun = time.perf_counter()
        for sock in leading:
            LIBC.connect(sock.fileno(), AF_UNSPEC, len(AF_UNSPEC))
        return begun


def own_sockets() -> Iterator[socket.socket]:
    """Yield another descriptor for each of this process's sockets."""
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_socket():
            yield socket.socket(fileno=os.dup(int(entry.name)))


def leads_to(sock: socket.socket, port: int) -> bool:
    with suppress(OSError):
        return bool(sock.family == socket.AF_INET and sock.getpeername()[1] == port)
    return False


async def serve(kind: str, address: str) -> None:
    if kind == "tcp":
        server = await asyncio.start_server(answer, address, 0, limit=BLOCK)
        port = server.sockets[0].getsockname()[1]
    else:

        async def connected(
            session: aio.StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            del session
            await answer(reader, writer)

        key = aio.HostKey.generate(os.urandom)
        streams = await aio.start_server(connected, address, 0, identity=key, judge=nobody_is_refused)
        port = streams.sockets[0].getsockname()[1]
    tell(f"ready {port}")
    await asyncio.get_running_loop().create_future()


async def call(kind: str, address: str, port: int, count: int) -> None:
    caller = Caller(kind, address, port)
    await caller.open(count)
    tell("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *numbers = line.split()
        values = [int(number) for number in numbers]
        match word:
            case "burst":
                figures = await burst(caller.connections[0], *values)
            case "echo":
                figures = await echo(caller.connections[0], *values)
            case "reset":
                figures = await caller.reset(*values)
            case _:
                figures = await caller.reconnect(*values)
        tell(json.dumps(figures))


# -- blocking --------------------------------------------------------------------------------------------


def answer_blocking(sock: socket.socket) -> None:
    while head := sock.recv(HEAD.size, socket.MSG_WAITALL):
        work, left = HEAD.unpack(head)
        before = processor_s()
        while left:
            data = sock.recv(min(left, BLOCK))
            if not data:
                return
            left -= len(data)
            if work == ECHO:
                sock.sendall(data)
        if work == BURST:
            sock.sendall(TOOK.pack(processor_s() - before))


def burst_blocking(sock: socket.socket, size: int, count: int) -> Figures:
    block = bytes(size)
    before, begun = processor_s(), time.perf_counter()
    sock.sendall(HEAD.pack(BURST, size * count))
    for _ in range(count):
        sock.sendall(block)
    (peer_s,) = TOOK.unpack(sock.recv(TOOK.size, socket.MSG_WAITALL))
    took = time.perf_counter() - begun
    return {"seconds": took, "client_s": processor_s() - before, "server_s": peer_s}


def echo_blocking(sock: socket.socket, size: int, count: int) -> Figures:
    message, times = os.urandom(size), []
    sock.sendall(HEAD.pack(ECHO, size * count))
    for _ in range(count):
        begun = time.perf_counter()
        sock.sendall(message)
        sock.recv(size, socket.MSG_WAITALL)
        times.append(1e6 * (time.perf_counter() - begun))
    return {"us": times}


def serve_blocking(kind: str, address: str) -> None:
    listener: socket.socket
    if kind == "socket":
        listener = socket.create_server((address, 0))
    else:
        key = aio.HostKey.generate(os.urandom)
        listener = sockets.create_server((address, 0), identity=key, judge=nobody_is_refused)
    tell(f"ready {listener.getsockname()[1]}")
    while True:
        sock, _ = listener.accept()
        without_delay(sock, kind)
        threading.Thread(target=answer_blocking, args=(sock,), daemon=True).start()


def call_blocking(kind: str, address: str, port: int) -> None:
    sock: socket.socket
    if kind == "socket":
        sock = socket.create_connection((address, port))
    else:
        key = aio.HostKey.generate(os.urandom)
        sock = sockets.create_connection((address, port), identity=key, judge=nobody_is_refused)
    without_delay(sock, kind)
    tell("ready")
    for line in sys.stdin:
        word, *numbers = line.split()
        work = burst_blocking if word == "burst" else echo_blocking
        tell(json.dumps(work(sock, *map(int, numbers))))


def without_delay(sock: socket.socket, kind: str) -> None:
    """Have native sockets send at once, as asyncio's and ours do."""
    if kind == "socket":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main() -> None:
    match sys.argv[1:]:
        case ["serve", ("socket" | "stream-socket") as kind, address]:
            serve_blocking(kind, address)
        case ["serve", kind, address]:
            asyncio.run(serve(kind, address))
        case ["call", ("socket" | "stream-socket") as kind, address, port, _]:
            call_blocking(kind, address, int(port))
        case ["call", kind, address, port, count]:
            asyncio.run(call(kind, address, int(port), int(count)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
