"""The client's end: make transports, and make them again for as long as the session lives.

One task keeps the control transport, one each connection's data transport. What dies is replaced at once.
While the peer can't be reached only the control task tries; its first success wakes the others, so that they
connect while it still waits for its answer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sessionlayer.aio.greeting import Greeted, hear, say, shake_hands_as_client
from sessionlayer.aio.race import Hint, race_to_connect
from sessionlayer.aio.sockets import Address, connect_tcp, read_exactly
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.keys import HostKey
from sessionlayer.streams.client import ClientSession
from sessionlayer.streams.errors import StreamError, StreamRefusedError, UntrustedPeerError
from sessionlayer.streams.limits import CONNECT_TIMEOUT_S, RETRY_FIRST_S, RETRY_MAX_S
from sessionlayer.streams.openings import ANSWER_HEAD, answer_length
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.session import new_state
from sessionlayer.streams.statements import Accepted, Begin, Bye, Inquire
from sessionlayer.streams.transitions import ConnectionPhase, SessionPhase

if TYPE_CHECKING:
    from sessionlayer.aio.session import Judge, StreamSession
    from sessionlayer.aio.shell import SessionShell
    from sessionlayer.aio.transport import StreamTransport
    from sessionlayer.streams.state import SessionState

Dial = Callable[[], Awaitable[socket.socket]]
"""Return a new transport: a connected stream socket that does not block, TCP or not.

It raises OSError or TimeoutError if there is none to be had now, and is called again then; the time that it
takes is its own to bound.
"""

UNANSWERED_MAX = 2
"""Control openings that may stay unanswered before the server is asked whether it knows the session."""

_log = logging.getLogger("migrate.streams")


class Dialer:
    """Keep a client session's transports.

    Args:
        session: whose.
        address: the server's name or address, and port; looked up again at every attempt.
        identity: our key.
        judge: decides on the server's key.
        dial: makes transports, where TCP connections to ``address`` won't do.
    """

    def __init__(
        self,
        session: SessionShell,
        address: Address,
        identity: HostKey,
        judge: Judge,
        dial: Dial | None = None,
    ) -> None:
        assert isinstance(session.core, ClientSession)
        self.address = address
        self._session = session
        self._core = session.core
        self._identity = identity
        self._judge = judge
        self._given_dial = dial
        self._dial = dial or self._dial_tcp
        self._hint = Hint()
        self._control_lost = asyncio.Event()
        self._reachable = asyncio.Event()
        self._needed: dict[StreamTransport, asyncio.Event] = {}
        self._tasks: dict[object, asyncio.Task[None]] = {}

    def start(self, sock: socket.socket | None = None) -> None:
        """Keep the control transport, of which ``sock`` is the first."""
        if sock is None:
            self._control_lost.set()
        else:
            self._reachable.set()
        self._run(self, self._keep_control())

    def restore(self, state: SessionState) -> StreamSession:
        """Go on, by the same means, with our session that was frozen."""
        from sessionlayer.aio.session import StreamSession

        return StreamSession.restore(
            state,
            identity=self._identity,
            judge=self._judge,
            options=self._session.options,
            dial=self._given_dial,
        )

    def keep(self, transport: StreamTransport) -> None:
        """Give a connection data transports until ``forget``."""
        self._needed[transport] = asyncio.Event()
        self._needed[transport].set()
        self._run(transport, self._keep_data(transport))

    def forget(self, transport: StreamTransport) -> None:
        """Let go of a connection that is over."""
        self._needed.pop(transport, None)
        task = self._tasks.get(transport)
        if task:
            task.cancel()

    def retry_now(self) -> None:
        """Try again at once what waits."""
        self._hint.give()
        self._reachable.set()

    def pipe_died(self, transport: StreamTransport) -> None:
        """Replace a data transport."""
        needed = self._needed.get(transport)
        if needed:
            needed.set()

    def control_died(self) -> None:
        """Replace the control transport."""
        self._control_lost.set()

    def all_died(self) -> None:
        """Replace every transport, once the server can be reached."""
        self._reachable.clear()
        self._control_lost.set()
        for needed in self._needed.values():
            needed.set()

    def stop(self) -> None:
        """Make no more transports."""
        for task in self._tasks.values():
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is under way any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    def _run(self, owner: object, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks[owner] = task
        task.add_done_callback(lambda _: self._tasks.pop(owner, None))

    async def _dial_tcp(self) -> socket.socket:
        return await race_to_connect(self.address, self._hint)

    # -- the control transport ---------------------------------------------------------------------------

    async def _keep_control(self) -> None:
        while True:
            await self._control_lost.wait()
            self._control_lost.clear()
            await self._insist(self._resume_control)

    async def _resume_control(self, attempt: int) -> bool:
        session = self._session
        sock = await self._dial()
        self._reachable.set()
        try:
            opening = self._core.control_opening()
            answer = await self._exchange(sock, opening)
        except ConnectionError:
            sock.close()
            if attempt >= UNANSWERED_MAX:
                await self._inquire()
            raise
        except BaseException:
            sock.close()
            raise
        try:
            self._core.control_answered(answer, asyncio.get_running_loop().time())
        except BaseException:
            sock.close()
            raise
        session.attach_control(sock)
        return True

    async def _exchange(self, sock: socket.socket, opening: bytes) -> bytes:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await asyncio.get_running_loop().sock_sendall(sock, opening)
            return await _read_answer(sock)

    async def _inquire(self) -> None:
        """Ask the server whether it knows the session: without its key it has no other way to say no."""
        with await self._dial() as sock:
            async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):
                greeted = await shake_hands_as_client(sock, self._identity, self._judge)
                if greeted.peer_key != self._session.peer_key:
                    return
                await say(sock, greeted, Inquire(session=self._core.id))
                answer = await hear(sock, greeted)
        if isinstance(answer, Bye):
            self._session.over(answer.code, answer.reason)

    # -- data transports ---------------------------------------------------------------------------------

    async def _keep_data(self, transport: StreamTransport) -> None:
        needed = self._needed[transport]
        while True:
            await needed.wait()
            needed.clear()
            await self._insist(lambda _: self._resume_data(transport))

    async def _resume_data(self, transport: StreamTransport) -> bool:
        session, connection = self._session, transport.connection
        sock = await self._dial()
        if connection.phase is ConnectionPhase.RESET:
            sock.close()
            return True
        # The opening is in front of everything in the empty send buffer, so that it goes out whole.
        opening = self._core.data_opening(connection)
        try:
            if sock.send(opening) != len(opening):
                raise ConnectionResetError("the kernel takes no opening")
        except OSError:
            sock.close()
            raise
        self._needed[transport].clear()  # what died before is replaced by now
        pipe = session.attach_data(transport, sock)
        waits = connection.phase is ConnectionPhase.OPENING
        if not waits:
            pipe.flush()
        try:
            async with asyncio.timeout(None if waits else CONNECT_TIMEOUT_S):
                answer = await pipe.read_first(ANSWER_HEAD.size)
                answer += await pipe.read_first(answer_length(answer))
            goes_on = self._core.data_answered(connection, answer)
        except BaseException:
            if transport.pipe is pipe:
                transport.drop_pipe()
            else:
                pipe.close()
            raise
        if goes_on:
            pipe.listen(paused=transport.paused_reading)
        session.pump()
        return True

    # -- attempts ----------------------------------------------------------------------------------------

    async def _insist(self, attempt: Callable[[int], Awaitable[bool]]) -> None:
        """Try at once, and then again and again, ever slower up to once a second."""
        delay = RETRY_FIRST_S
        count = 0
        is_control = attempt == self._resume_control
        while True:
            try:
                await attempt(count)
            except (OSError, TimeoutError, RemoteProtocolError) as error:
                _log.debug("no transport to %s:%d: %s", *self.address, error)
            else:
                return
            count += 1
            await self._pause(delay, is_control=is_control)
            delay = min(2 * delay, RETRY_MAX_S)

    async def _pause(self, delay_s: float, *, is_control: bool) -> None:
        if is_control:
            await self._hint.wait(delay_s)
            return
        if self._core.phase is not SessionPhase.CONNECTED:
            self._reachable.clear()
            await self._reachable.wait()
        else:
            await asyncio.sleep(delay_s)


async def connect(
    host: str,
    port: int,
    *,
    identity: HostKey,
    judge: Judge,
    options: StreamOptions | None = None,
    dial: Dial | None = None,
) -> StreamSession:
    """Begin a session with the server at ``host`` and ``port``.

    Args:
        host: a name or an address; looked up again whenever a new transport is made.
        port: the server's TCP port.
        identity: our key, by which the server knows us.
        judge: returns why the server's key (32 bytes) is not trusted, or an empty string.
        options: bounds and times.
        dial: makes the transports where a TCP connection won't do; ``host`` and ``port`` only name the server
            then.

    Raises:
        UntrustedPeerError: ``judge`` does not trust the server's key.
        StreamRefusedError: the server doesn't trust ours, or takes no more sessions.
        StreamError: whoever answers speaks another protocol.
        TimeoutError: no answer in time.
        OSError: the server can't be reached.
    """
    from sessionlayer.aio.session import StreamSession

    options = options or StreamOptions()
    sock = await (dial() if dial else _connect_in_time(host, port))
    try:
        async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):
            greeted = await shake_hands_as_client(sock, identity, judge)
            await _begin(sock, greeted)
    except BaseException:
        sock.close()
        raise
    state = new_state(greeted.key, greeted.peer_key, host, port, client=True)
    session = StreamSession(state, options)
    session.dialer = Dialer(session, (host, port), identity, judge, dial)
    session.core.begin_control(greeted.channel, asyncio.get_running_loop().time())
    session.attach_control(sock)
    session.dialer.start(sock)
    return session


async def _connect_in_time(host: str, port: int) -> socket.socket:
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        return await connect_tcp(host, port)


async def _begin(sock: socket.socket, greeted: Greeted) -> None:
    try:
        await say(sock, greeted, Begin())
        answer = await hear(sock, greeted)
    except RemoteProtocolError as error:
        raise StreamError(f"the handshake failed: {error}") from error
    if isinstance(answer, Bye):
        raise StreamRefusedError(answer.reason)
    if not isinstance(answer, Accepted):
        raise StreamError("the handshake failed: the server does not answer what was asked")


async def _read_answer(sock: socket.socket) -> bytes:
    head = await read_exactly(sock, ANSWER_HEAD.size)
    return head + await read_exactly(sock, answer_length(head))


__all__ = ["Dial", "Dialer", "UntrustedPeerError", "connect"]
