"""Programs that speak to an application socket, for tests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from migrated.applications.client import Client
from migrated.applications.server import ApplicationServer
from migrated.applications.wire import Descriptors, receive, send
from sessionlayer.application.messages import MESSAGE_MAX, Answer, Request, decode_answer, encode

OnRequest = Callable[[Client, Request, Descriptors], None]


class Program:
    """One end of a conversation with the daemon."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def say(self, message: Request, descriptors: tuple[int, ...] = ()) -> None:
        send(self.sock, encode(message), descriptors)

    async def hear(self) -> Answer:
        """Return the next message; descriptors that come with it are closed."""
        while True:
            try:
                data, descriptors = receive(self.sock)
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            descriptors.close()
            return decode_answer(data)

    async def ended(self) -> bool:
        return await asyncio.get_running_loop().sock_recv(self.sock, MESSAGE_MAX) == b""


@asynccontextmanager
async def server(folder: Path, on_request: OnRequest) -> AsyncIterator[ApplicationServer]:
    found = ApplicationServer(folder / "application.sock", on_request, lambda client: None)
    found.start()
    try:
        yield found
    finally:
        found.close()


@asynccontextmanager
async def program(folder: Path) -> AsyncIterator[Program]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.setblocking(False)
        sock.connect(str(folder / "application.sock"))
        yield Program(sock)
