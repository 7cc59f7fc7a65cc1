"""The control socket of the daemon: lines in, a handler's answers out, bounds on everything."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from migrated.control.messages import (
    MAX_REQUEST_BYTES,
    Answer,
    EventReport,
    Refused,
    Request,
    decode_request,
    encode,
)
from migrated.control.permission import Credentials, peer_credentials
from migrated.control.socketfile import ControlError, identity, listen_at, remove_if

MAX_CLIENTS: Final = 128
"""Connections of all ordinary users together; one more is refused. Root and the daemon's user don't count."""

MAX_CLIENTS_PER_USER: Final = 32
"""Connections of one user, root included; one more is refused."""

_BACKLOG: Final = 128

__all__ = ["MAX_CLIENTS", "MAX_CLIENTS_PER_USER", "ControlError", "ControlServer", "Handler"]

_log = logging.getLogger(__name__)


class Handler(Protocol):
    """What answers requests."""

    def handle(self, request: Request, who: Credentials) -> Answer | AsyncIterator[EventReport]:
        """Answer at once, or with a stream of events; ``who`` is vouched for by the kernel."""


class _Client(NamedTuple):
    writer: asyncio.StreamWriter
    who: Credentials


class ControlServer:
    """A Unix stream socket that everybody may connect to; the handler judges who may do what."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._identity: tuple[int, int] | None = None
        self._clients: dict[asyncio.Task[None], _Client] = {}
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Open the socket.

        Raises:
            ControlError: another daemon has it, or it cannot be made.
        """
        sock = listen_at(self._path, socket.SOCK_STREAM, _BACKLOG, name="control socket")
        self._identity = identity(self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_REQUEST_BYTES)

    async def close(self) -> None:
        """Close the socket and all connections, and remove the socket's file if it is still ours."""
        if self._server is not None:
            self._server.close()
        # Tasks end by themselves when their connection does. Cancelled ones would be logged as faults.
        for client in self._clients.values():
            client.writer.transport.abort()
        await asyncio.gather(*self._clients)
        remove_if(self._path, self._identity)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        who = peer_credentials(writer.get_extra_info("socket"))
        refusal = self._too_many(who)
        self._clients[task] = _Client(writer, who)
        try:
            if refusal is not None:
                await _send(writer, refusal)
            else:
                await self._converse(reader, writer, who)
        except ConnectionError as error:
            _log.debug("a client (pid %d) went away: %s", who.pid, error)
        finally:
            del self._clients[task]
            writer.close()

    def _too_many(self, who: Credentials) -> Refused | None:
        by_user = Counter(client.who.uid for client in self._clients.values())
        ordinary = sum(not client.who.privileged for client in self._clients.values())
        full = not who.privileged and ordinary >= MAX_CLIENTS
        if by_user[who.uid] < MAX_CLIENTS_PER_USER and not full:
            return None
        return Refused(reason="too many connections to the daemon; close some and try again", code="busy")

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: Credentials
    ) -> None:
        """Answer request after request until the client closes or sends what is no request."""
        while True:
            request = await _next_request(reader)
            if request is None:
                return
            if isinstance(request, Refused):
                await _send(writer, request)
                return
            answer = await self._answer(request, _Client(writer, who))
            if isinstance(answer, AsyncIterator):
                await _stream(reader, writer, answer)
                return
            await _write(writer, answer)
            # One who asks without a pause must not keep the daemon from its work.
            await asyncio.sleep(0)

    async def _answer(self, request: Request, client: _Client) -> bytes | AsyncIterator[EventReport]:
        """Return an answer. All ordinary users together get one at a time, and half of the time at most.

        Some answers take tens of milliseconds to make: without this rule a user with many connections could
        delay every move by a second.

        Raises:
            ConnectionAbortedError: the client has gone before it was its turn.
        """
        if client.who.privileged:
            return _made(self._handler.handle(request, client.who))
        async with self._turn:
            if client.writer.is_closing():
                raise ConnectionAbortedError("it did not wait for its turn")
            begun = time.monotonic()
            answer = _made(self._handler.handle(request, client.who))
            await asyncio.sleep(time.monotonic() - begun)
            return answer


async def _next_request(reader: asyncio.StreamReader) -> Request | Refused | None:
    """Return a request, what is to be said about something else, or ``None`` at the end."""
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        return Refused(reason="the last line has no end; a request is one line", code="bad-request")
    except asyncio.LimitOverrunError:
        reason = f"the request is too long; one line of at most {MAX_REQUEST_BYTES} bytes is expected"
        return Refused(reason=reason, code="too-long")
    try:
        return decode_request(line)
    except msgspec.DecodeError as error:
        return Refused(reason=f"this is not a request: {error}", code="bad-request")


async def _stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, events: AsyncIterator[EventReport]
) -> None:
    """Send events until there are no more or the client says anything, which can only be its end."""

    async def forward() -> None:
        async for event in events:
            await _send(writer, event)

    sending = asyncio.ensure_future(forward())
    ending = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait((sending, ending), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in (sending, ending):
            task.cancel()
        await asyncio.gather(sending, ending, return_exceptions=True)


def _made(answer: Answer | AsyncIterator[EventReport]) -> bytes | AsyncIterator[EventReport]:
    return answer if isinstance(answer, AsyncIterator) else encode(answer)


async def _send(writer: asyncio.StreamWriter, message: Answer) -> None:
    await _write(writer, encode(message))


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
