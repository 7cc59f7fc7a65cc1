"""The server's end: one port for handshakes, control transports and data transports."""

from __future__ import annotations

import asyncio
import errno
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sessionlayer.aio.frozen import Frozen, FrozenSessions, Over, Woken
from sessionlayer.aio.greeting import Greeted, hear, say, shake_hands_as_server
from sessionlayer.aio.session import Judge, StreamSession
from sessionlayer.aio.sockets import listen, name_of, prepared, read_exactly
from sessionlayer.aio.sources import Sources
from sessionlayer.aio.transport import StreamTransport
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.keys import HostKey
from sessionlayer.streams.events import Closed, StreamEvent
from sessionlayer.streams.limits import OPENING_TIMEOUT_S, PENDING_MAX
from sessionlayer.streams.openings import (
    CONTROL,
    MAGIC,
    OPENING_HEAD,
    Opening,
    opening_length,
    parse_opening,
)
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.secrets import session_id
from sessionlayer.streams.server import ServerSession
from sessionlayer.streams.session import new_state
from sessionlayer.streams.state import SessionState
from sessionlayer.streams.statements import Accepted, Begin, Bye, Inquire

Connected = Callable[
    [StreamSession, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None] | None
]
"""Called for every connection that was opened; a coroutine runs as a task of its own."""

Admit = Callable[[StreamSession, bytes], Awaitable[str]]
"""Return why a connection of this purpose is refused, or an empty string."""

BACKLOG = 1024
ACCEPT_PAUSE_S = 1.0
"""Seconds without accepting after the process ran out of descriptors, as asyncio's own servers do."""

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_log = logging.getLogger("migrate.streams")


class StreamServer:
    """A listening port and its sessions. It is made by ``start_server``.

    Attributes:
        sockets: the listening sockets.
        options: bounds and times.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connected: Connected,
        admit: Admit | None,
        identity: HostKey,
        judge: Judge,
        options: StreamOptions,
    ) -> None:
        self.sockets = tuple(sockets)
        self.options = options
        self._connected = connected
        self._admit = admit
        self._identity = identity
        self._judge = judge
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[bytes, StreamSession] = {}
        self._frozen = FrozenSessions(options.expire_s)
        self._sources = Sources(options.handshakes_per_s)
        self._greeting: dict[asyncio.Task[None], socket.socket] = {}  # the oldest first
        self._serving: set[asyncio.Task[None]] = set()
        for sock in self.sockets:
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    @property
    def sessions(self) -> tuple[StreamSession, ...]:
        """Return the sessions that are not over."""
        return tuple(session for session in self._sessions.values() if session.state != "closed")

    def close(self) -> None:
        """Listen no more and end all sessions at once; ``await session.close()`` before for a gentle end."""
        for sock in self.sockets:
            self._stop_accepting(sock)
            sock.close()
        self.sockets = ()
        for session in self.sessions:
            session.abort()
        self._frozen.close()
        for task in (*self._greeting, *self._serving):
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until everything that ``close`` ended is over."""
        while tasks := self._greeting.keys() | self._serving:
            await asyncio.wait(tasks)

    @property
    def frozen(self) -> int:
        """Return how many sessions are frozen, besides `sessions`."""
        return len(self._frozen)

    def freeze(self, session: StreamSession, woken: Woken, over: Over) -> None:
        """Keep nothing of a session but its state, compressed, until its client is back.

        It counts as suspended: it expires, and makes room for others, as it would otherwise.

        Args:
            session: one of `sessions`; the object is dead afterwards.
            woken: called with its new object; ``take_streams`` has the connections.
            over: called instead if the session ends while it is frozen.

        Raises:
            ValueError: it is not a session of this server.
            StreamError: the session is over.
        """
        if self._sessions.get(session.id) is not session:
            raise ValueError("this is no session of this server")
        self._frozen.put(session.freeze(), woken, over)

    def forget(self, session: bytes) -> None:
        """End a frozen session of that name, if there is one."""
        self._frozen.drop(session, Closed("closed", "it was closed"))

    def restore(self, state: SessionState) -> StreamSession:
        """Go on with a session that was frozen; ``StreamSession.take_streams`` has its connections.

        Raises:
            ValueError: ``state`` is a client's, or the session lives here already.
        """
        name = session_id(state.key)
        known = self._sessions.get(name)
        if state.client or name in self._frozen or (known and known.state != "closed"):
            raise ValueError("this is a client's session, or it lives here already")
        session = StreamSession(state, self.options)
        session.readmit(state)
        self._keep(session)
        session.pump()
        return session

    def _find(self, opening: Opening) -> StreamSession | None:
        """Return the session for which an opening is meant, woken if it was frozen."""
        session = self._sessions.get(opening.session)
        if session is not None and session.state != "closed":
            return session
        taken = self._frozen.take(opening)
        if taken is None:
            return None
        session = self.restore(taken[0])
        taken[1](session)
        return session

    # -- new transports ----------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(BACKLOG):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    raise
                self._pause_accepting(listener, error)
                return
            if len(self._greeting) >= PENDING_MAX:
                next(task for task in self._greeting if not task.cancelling()).cancel()
            task = self._loop.create_task(self._greet(prepared(sock), str(address[0])))
            self._greeting[task] = sock
            task.add_done_callback(self._greeted)

    def _greeted(self, task: asyncio.Task[None]) -> None:
        sock = self._greeting.pop(task)
        if task.cancelled():
            sock.close()  # it may have been cancelled before it began

    def _pause_accepting(self, listener: socket.socket, error: OSError) -> None:
        _log.warning("no new transports for %.0f s: %s", ACCEPT_PAUSE_S, error)
        self._stop_accepting(listener)
        self._loop.call_later(ACCEPT_PAUSE_S, self._go_on_accepting, listener)

    def _stop_accepting(self, listener: socket.socket) -> None:
        self._loop.remove_reader(listener.fileno())

    def _go_on_accepting(self, listener: socket.socket) -> None:
        if listener in self.sockets:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    async def _greet(self, sock: socket.socket, source: str) -> None:
        """See what a new transport is; it is closed unanswered unless it proves itself in time."""
        taken = False
        try:
            async with asyncio.timeout(OPENING_TIMEOUT_S):
                taken = await self._take(sock, source)
        except (RemoteProtocolError, OSError, TimeoutError) as error:
            _log.debug("a transport from %s came to nothing: %s", source, error)
        finally:
            if not taken:
                sock.close()

    async def _take(self, sock: socket.socket, source: str) -> bool:
        first = await read_exactly(sock, len(MAGIC))
        if first != MAGIC:
            return await self._shake_hands(sock, first, source)
        head = first + await read_exactly(sock, OPENING_HEAD.size - len(first))
        opening = parse_opening(head, await read_exactly(sock, opening_length(head)))
        session = self._find(opening)
        if session is None:
            return False
        if opening.connection == CONTROL:
            return self._take_control(session, opening, sock)
        return self._take_data(session, opening, sock)

    # -- handshakes --------------------------------------------------------------------------------------

    async def _shake_hands(self, sock: socket.socket, first: bytes, source: str) -> bool:
        if not self._sources.allow(source, self._loop.time()):
            return False
        greeted = await shake_hands_as_server(sock, first, self._identity, self._judge)
        if greeted is None:
            _log.warning("a client at %s is refused: its key is not trusted", source)
            return False
        wish = await hear(sock, greeted)
        if isinstance(wish, Inquire):
            await self._answer_inquiry(sock, greeted, wish)
            return False
        if not isinstance(wish, Begin):
            raise RemoteProtocolError("neither a new session nor an inquiry")
        refusal = self._make_room(greeted.peer_key)
        if refusal:
            await say(sock, greeted, Bye(code="refused", reason=refusal))
            return False
        await say(sock, greeted, Accepted())
        self._begin(sock, greeted)
        return True

    async def _answer_inquiry(self, sock: socket.socket, greeted: Greeted, wish: Inquire) -> None:
        session = self._sessions.get(wish.session)
        known = session and session.state != "closed" and session.peer_key == greeted.peer_key
        known = known or self._frozen.knows(wish.session, greeted.peer_key)
        unknown = Bye(code="unknown", reason="the server does not know it any more")
        await say(sock, greeted, Accepted() if known else unknown)

    def _begin(self, sock: socket.socket, greeted: Greeted) -> None:
        host, port = name_of(sock, peer=True)
        session = StreamSession(
            new_state(greeted.key, greeted.peer_key, host, port, client=False), self.options
        )
        self._keep(session)
        session.core.begin_control(greeted.channel, self._loop.time())
        session.attach_control(sock)

    def _keep(self, session: StreamSession) -> None:
        def heard(event: StreamEvent) -> None:
            if isinstance(event, Closed) and self._sessions.get(session.id) is session:
                del self._sessions[session.id]

        self._sessions[session.id] = session
        session.on_event(heard)

    def _make_room(self, key: bytes) -> str:
        """Return why a client with that key can't have another session, having made room if that helps."""
        own = [session for session in self.sessions if session.peer_key == key]
        frozen = list(self._frozen.of_key(key))
        if len(own) + len(frozen) >= self.options.sessions_per_key:
            idle = [session for session in own if session.state == "suspended"]
            if not idle and not frozen:
                return f"your key has {len(own)} sessions already"
            self._end_oldest(idle, frozen)
        if len(self._sessions) + len(self._frozen) >= self.options.sessions_max:
            return f"the server has {self.options.sessions_max} sessions already"
        return ""

    def _end_oldest(self, idle: list[StreamSession], frozen: list[tuple[bytes, Frozen]]) -> None:
        now = self._loop.time()
        ends = {now - session.core.liveness.suspended_s(now): session.abort for session in idle}
        ends |= {kept.since: partial(self._frozen.displace, name) for name, kept in frozen}
        ends[min(ends)]()

    # -- openings ----------------------------------------------------------------------------------------

    def _take_control(self, session: StreamSession, opening: Opening, sock: socket.socket) -> bool:
        core = _core_of(session)
        core.authenticate(opening)
        sock.send(core.accept_control(opening, self._loop.time()))
        session.attach_control(sock)
        return True

    def _take_data(self, session: StreamSession, opening: Opening, sock: socket.socket) -> bool:
        core = _core_of(session)
        body = core.authenticate(opening)
        transport = session.stream(opening.connection)
        if transport and transport.pipe:
            transport.pipe.retire()
            transport.pipe = None
        connection, answer = core.accept_data(opening, body)
        if connection is None:
            sock.send(answer)
            session.pump()
            return False
        new = transport is None
        transport = transport or session.add_stream(connection)
        if answer:
            sock.send(answer)
        pipe = session.attach_data(transport, sock)
        if answer:
            pipe.listen(paused=transport.paused_reading)
        elif new:
            self._serve(self._admitted(session, transport))
        session.pump()
        return True

    async def _admitted(self, session: StreamSession, transport: StreamTransport) -> None:
        """Ask whether a new connection is taken, and give it to the program."""
        core, connection = _core_of(session), transport.connection
        try:
            refusal = await self._admit(session, connection.purpose) if self._admit else ""
        except BaseException:
            transport.abort()
            raise
        answer = core.refuse(connection, refusal) if refusal else core.admit(connection)
        pipe = transport.pipe
        if answer and pipe:
            with suppress(OSError):
                pipe.sock.send(answer)
        if refusal or not answer:
            session.pump()
            return
        reader, writer = session.streams_for(transport)
        if pipe:
            pipe.listen(paused=transport.paused_reading)
        session.pump()
        try:
            outcome = self._connected(session, reader, writer)
            if inspect.iscoroutine(outcome):
                await outcome
        except BaseException:
            transport.abort()
            raise

    def _serve(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._serving.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._loop.call_exception_handler(
                {
                    "message": "a connection's handler raised",
                    "exception": error,
                    "task": task,
                }
            )


def _core_of(session: StreamSession) -> ServerSession:
    assert isinstance(session.core, ServerSession)
    return session.core


async def start_server(
    connected: Connected,
    host: str | None,
    port: int,
    *,
    identity: HostKey,
    judge: Judge,
    options: StreamOptions | None = None,
    admit: Admit | None = None,
) -> StreamServer:
    """Listen for sessions.

    Args:
        connected: called with the session and both streams of every connection.
        host: the name or address to listen on; ``None`` is all.
        port: the TCP port; 0 lets the kernel choose.
        identity: our key, by which clients know us.
        judge: returns why a client's key (32 bytes) is not trusted, or an empty string.
        options: bounds and times.
        admit: returns why a connection is refused, or an empty string; it may take its time.

    Raises:
        OSError: the address can't be listened on.
    """
    sockets = await listen(host, port, BACKLOG)
    return StreamServer(sockets, connected, admit, identity, judge, options or StreamOptions())
