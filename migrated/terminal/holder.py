"""The holder: one process per user and host that holds the user's terminals, without any privilege.

Two ways lead in. Over its Unix socket, which only the user and root may use, it is asked to let the holder
of a key in. Over TCP that key then proves itself, once, and gets the one terminal that it was let in for.

Source: unix(7), ``SO_PEERCRED``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, assert_never

import msgspec

from migrated.terminal.attachment import Attachment
from migrated.terminal.held import KILL_AFTER_S, Terminal
from migrated.terminal.messages import (
    CLIENT_DECODER,
    Attach,
    Detached,
    TerminalProtocolError,
    encode,
    receive,
)
from migrated.terminal.names import mistake_in, new_name, unknown
from migrated.terminal.output import LOG_BYTES
from migrated.terminal.place import Place
from migrated.terminal.requests import (
    EXPIRE_MAX_S,
    LINE_MAX,
    Answer,
    Done,
    Kill,
    List,
    Open,
    Ready,
    Refused,
    Request,
    RequestError,
    TerminalList,
    TerminalReport,
    decode_request,
)
from migrated.terminal.requests import encode as encode_line
from migrated.terminal.shell import Shell, ShellError, program_for
from sessionlayer.aio import StreamOptions, StreamServer, StreamSession, start_server
from sessionlayer.protocol.keys import HostKey

_log = logging.getLogger(__name__)

PORTS: Final = range(6450, 6550)
"""Where holders listen, so that a firewall can let them through; any other port if all are taken."""

TERMINALS_MAX: Final = 256
TICKETS_MAX: Final = 64
TICKET_S: Final = 60.0
"""Seconds that a client has to come after it was let in."""

IDLE_S: Final = 60.0
"""Seconds after which a holder of nothing ends."""

_FIRST_WORD_S: Final = 30.0
_USED_MAX: Final = 1024
_SMALL_RING: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderOptions:
    """What can be chosen: ports to try in order (0: any), the log's length in bytes, the streams' options."""

    ports: tuple[int, ...] = (*PORTS, 0)
    log_bytes: int = LOG_BYTES
    streams: StreamOptions = field(
        default_factory=lambda: StreamOptions(
            ring_max=_SMALL_RING, expire_s=EXPIRE_MAX_S, connections_max=1, sessions_max=2 * TERMINALS_MAX
        )
    )


class Holder:
    """All terminals of a user.

    Args:
        place: where it is found.
        options: what differs from the usual.
        on_idle: called when there has been nothing to hold for `IDLE_S`.
    """

    def __init__(
        self, place: Place, options: HolderOptions | None = None, on_idle: Callable[[], None] | None = None
    ) -> None:
        self._place = place
        self._options = options or HolderOptions()
        self._on_idle = on_idle
        self._key = HostKey.generate(os.urandom)
        self._loop = asyncio.get_running_loop()
        self._terminals: dict[str, Terminal] = {}
        self._tickets: dict[bytes, tuple[Open, asyncio.TimerHandle]] = {}
        self._used: deque[bytes] = deque(maxlen=_USED_MAX)
        self._server: StreamServer | None = None
        self._asked: asyncio.Server | None = None
        self._idle: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The TCP port where clients come."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def idle(self) -> bool:
        """Whether it holds nothing and expects nobody."""
        return not self._terminals and not self._tickets

    async def start(self) -> None:
        """Listen on both ways.

        Raises:
            OSError: no port or no socket is to be had.
        """
        self._server = await self._listen()
        self._place.socket.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._asked = await asyncio.start_unix_server(self._asks, self._place.socket, limit=LINE_MAX)
        finally:
            os.umask(before)
        self.stay()

    async def close(self) -> None:
        """End every terminal, and listen no more."""
        if self._idle is not None:
            self._idle.cancel()
        for _, timer in self._tickets.values():
            timer.cancel()
        self._tickets.clear()
        for terminal in list(self._terminals.values()):
            terminal.end("the holder ends")
        self.hide()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def stay(self) -> None:
        """Wait once more for `IDLE_S` before being idle counts."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self._loop.call_later(IDLE_S, self._idle_for_long)

    def hide(self) -> None:
        """Be found no more by those who ask."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None
            self._place.socket.unlink(missing_ok=True)

    async def answer(self, request: Request) -> Answer:
        """Do what was asked for."""
        match request:
            case Open():
                return self._open(request)
            case List():
                return TerminalList(terminals=tuple(self._report(t) for t in self._terminals.values()))
            case Kill():
                return await self._kill(request.name)
            case _:
                assert_never(request)

    async def _listen(self) -> StreamServer:
        taken: OSError | None = None
        for port in self._options.ports:
            try:
                return await start_server(
                    self._connected,
                    None,
                    port,
                    identity=self._key,
                    judge=self._judge,
                    options=self._options.streams,
                )
            except OSError as error:
                taken = error
        raise taken or OSError("no port to listen on is named")

    def _open(self, request: Open) -> Answer:
        reason = self._refusal(request)
        if reason:
            return Refused(reason=reason)
        name = request.name or new_name(self._taken())
        request = msgspec.structs.replace(request, name=name)
        key = request.client_key
        self._tickets[key] = request, self._loop.call_later(TICKET_S, self._forget_ticket, key)
        waiting = tuple(
            t.name for t in self._terminals.values() if t.state in {"detached", "suspended", "ended"}
        )
        return Ready(name=name, port=self.port, key=self._key.public_bytes, waiting=waiting)

    def _refusal(self, request: Open) -> str:
        name = request.name
        if request.attach:
            return "" if name in self._terminals else unknown(name, self._terminals.keys())
        if name and (mistake := mistake_in(name)):
            return mistake
        if name in self._taken():
            return f"there is a terminal `{name}` already; `--attach {name}` goes to it"
        if len(self._terminals) >= TERMINALS_MAX or len(self._tickets) >= TICKETS_MAX:
            return f"there are {len(self._terminals)} terminals already; end some with `migrate kill NAME`"
        return ""

    def _taken(self) -> set[str]:
        return {*self._terminals, *(ticket.name for ticket, _ in self._tickets.values() if not ticket.attach)}

    def _forget_ticket(self, key: bytes) -> None:
        self._tickets.pop(key, None)
        self.stay()

    async def _kill(self, name: str) -> Answer:
        terminal = self._terminals.get(name)
        if terminal is None:
            return Refused(reason=unknown(name, self._terminals.keys()))
        terminal.end("killed")
        try:
            await asyncio.wait_for(terminal.gone.wait(), 2 * KILL_AFTER_S)
        except TimeoutError:
            return Refused(
                reason=f"the program in `{name}` (process {terminal.pid}) does not end even when killed"
            )
        return Done()

    def _report(self, terminal: Terminal) -> TerminalReport:
        return TerminalReport(
            name=terminal.name,
            program=terminal.program,
            pid=terminal.pid,
            state=terminal.state,
            since=time.time() - (self._loop.time() - terminal.since),
            status=terminal.status,
        )

    def _judge(self, key: bytes) -> str:
        # Whose key has been used gets nothing for it any more, but may ask what has become of its session.
        known = key in self._tickets or key in self._used
        return "" if known else "this key was not let in, or too long ago"

    async def _connected(
        self, session: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(_FIRST_WORD_S):
                first = await receive(reader, CLIENT_DECODER)
            ticket, timer = self._tickets.pop(session.peer_key, (None, None))
            if ticket is None or timer is None or not isinstance(first, Attach):
                raise TerminalProtocolError("a client that was let in for nothing")
            timer.cancel()
            self._used.append(session.peer_key)
        except (ConnectionError, TimeoutError, TerminalProtocolError) as error:
            _log.info("a client was sent away: %s", error)
            session.abort()
            return
        await self._serve(ticket, first, Attachable(session, reader, writer))

    async def _serve(self, ticket: Open, first: Attach, client: Attachable) -> None:
        size = first.rows, first.columns
        try:
            terminal = self._terminals[ticket.name] if ticket.attach else self._start(ticket, size)
        except (KeyError, ShellError) as error:
            reason = str(error) if isinstance(error, ShellError) else f"`{ticket.name}` has just ended"
            client.writer.write(encode(Detached(reason=reason)))
            await client.session.close()
            return
        attachment = Attachment(terminal, client.session, client.reader, client.writer)
        await attachment.run(*size, anew=not ticket.attach)

    def _start(self, ticket: Open, size: tuple[int, int]) -> Terminal:
        program = program_for(ticket.command, ticket.environment | {"MIGRATE_TERMINAL": ticket.name})
        terminal = Terminal(
            name=ticket.name,
            program=ticket.command or program.path,
            shell=Shell(program, *size),
            size=size,
            expire_s=ticket.expire_s,
            on_gone=self._forget,
            log_bytes=self._options.log_bytes,
        )
        self._terminals[ticket.name] = terminal
        return terminal

    def _forget(self, terminal: Terminal) -> None:
        del self._terminals[terminal.name]
        self.stay()

    def _idle_for_long(self) -> None:
        if self.idle and self._on_idle is not None:
            self._on_idle()

    async def _asks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request on the Unix socket."""
        if _user_of(writer.get_extra_info("socket")) in {0, os.geteuid()}:
            writer.write(encode_line(await self._answer_line(reader)))
        writer.close()

    async def _answer_line(self, reader: asyncio.StreamReader) -> Answer:
        try:
            return await self.answer(decode_request(await reader.readline()))
        except (RequestError, ValueError) as error:  # ValueError: a line longer than the limit
            return Refused(reason=str(error))


@dataclass(frozen=True, slots=True)
class Attachable:
    """A client that has come, and its stream."""

    session: StreamSession
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def _user_of(sock: socket.socket) -> int:
    size = struct.calcsize("3i")
    user: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1]
    return user
