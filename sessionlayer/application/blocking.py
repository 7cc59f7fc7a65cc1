"""Sessions of stream sockets: a program with threads, without a daemon.

The stream lives in the thread of `sessionlayer.sockets`' loop, the program's callbacks in the handlers'
thread. A session is given up and made again in the loop's thread, so that neither sees it half done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sessionlayer.aio import Closed, StreamSession
from sessionlayer.aio.transport import StreamTransport
from sessionlayer.application.alone import StreamKeeper, known_session, remember_session, taker
from sessionlayer.application.errors import MigrateError, RefusedError
from sessionlayer.application.grip import SocketGrip
from sessionlayer.application.outcome import Outcome
from sessionlayer.application.runners import ThreadRunner
from sessionlayer.application.session import Session
from sessionlayer.continuations.values import Continuation, Kind
from sessionlayer.sockets import StreamSocket
from sessionlayer.sockets.background import background
from sessionlayer.sockets.pump import Pump

if TYPE_CHECKING:
    from asyncio import BaseProtocol, StreamReader, StreamWriter, Transport

    from sessionlayer.sockets.stream_socket import Home

T = TypeVar("T")

_threads = ThreadRunner()


def socket_session(connection: StreamSocket) -> Session:
    """Return the session of a stream socket; all sockets of its association have the same.

    Raises:
        MigrateError: it is over.
    """
    return _in_loop(partial(_find, connection))


def _find(connection: StreamSocket) -> Session:
    stream = connection.stream_session
    if stream.state == "closed":
        raise MigrateError("the connection's session is over, or was given up")
    session = known_session(stream)
    if session is None:
        keeper = SocketKeeper(stream, connection.home)
        session = Session(stream.id, peer=stream.peer, backend=keeper, runner=_threads)
        session.suspended = stream.state == "suspended"
        keeper.watch(session, stream)
        remember_session(stream, session)
    session.hold(connection, SocketGrip(connection))
    return session


class SocketKeeper(StreamKeeper):
    """The `Backend` of the session of stream sockets.

    Args:
        stream: the session's association.
        home: where its sockets come from.
    """

    def __init__(self, stream: StreamSession, home: Home) -> None:
        super().__init__(stream, home.server)
        self._home = home

    # --- what the session asks for, in any thread ---

    def export(self, session: Session, values: Mapping[str, bytes]) -> Outcome[None]:
        """Tell the peer at the next resumption, over the control transport."""
        return _in_loop(partial(super().export, session, values))

    def give_up(self, session: Session, record: Continuation, descriptors: Sequence[int]) -> Outcome[None]:
        """Freeze the stream, and end its sockets. New ones go on when the peer is back."""
        return _in_loop(partial(super().give_up, session, record, descriptors))

    def close(self, session: Session) -> Outcome[None]:
        """Forget the session. Its sockets are left to the program; where it has given them up they end."""
        return _in_loop(partial(super().close, session))

    async def open(self, session: Session) -> tuple[StreamReader, StreamWriter]:
        """Refuse: the stream belongs to another loop."""
        raise _for_threads()

    async def create_connection(
        self, session: Session, factory: Callable[[], BaseProtocol]
    ) -> tuple[Transport, BaseProtocol]:
        """Refuse: the stream belongs to another loop."""
        raise _for_threads()

    # --- in the loop's thread ---

    def _entrust(self, session: Session, record: Continuation, descriptors: Sequence[int]) -> Outcome[None]:
        """Refuse: what the program has not read yet is in its socket, and not in the stream's state."""
        outcome: Outcome[None] = Outcome()
        reason = "the process of a stream socket can't end with its session; return `migrate.internal`"
        outcome.fail(RefusedError("alone", reason))
        return outcome

    def _refusal(self, session: Session, record: Continuation) -> str:
        if not session.suspended:
            return "the session is not suspended"
        if refusal := super()._refusal(session, record):
            return refusal
        assert self._stream is not None
        pumps = [pump for _, pump in _pumps(self._stream)]
        if any(pump.is_held_elsewhere() for pump in pumps):
            return "a socket of the session was detached, so that nobody knows what is unread in it"
        if record.kind is Kind.SYSTEM and len(pumps) > 1:
            return f"the session has {len(pumps)} connections: name a function with `migrate.internal`"
        return ""

    def _take_back(self, stream: StreamSession) -> None:
        error = ConnectionAbortedError("its session has been given up")
        for transport, pump in _pumps(stream):
            if transport.pipe is not None:
                transport.pipe.retire()  # what has arrived is to be among what is unread
            transport.keep_unread(pump.take_back(error))

    def _back(self, session: Session) -> None:
        if self._record is None:
            session.runner.call(lambda: self._keep_on(session))
            return
        record, self._record = self._record, None
        assert self._stream is not None
        sockets = [self._home.carry(transport) for transport in self._stream.take_restored()]
        # Its old socket has to be closed before it gets a new one.
        session.giving.told.when_done(
            lambda: session.runner.call(lambda: self._go_on(session, record, sockets))
        )

    def _over(self, session: Session, closed: Closed) -> None:
        super()._over(session, closed)
        self._home.tidy()

    # --- in the handlers' thread ---

    def _keep_on(self, session: Session) -> None:
        if self._record is None:  # it has not been given up since
            session.tell_resumed(None)

    def _go_on(self, session: Session, record: Continuation, sockets: list[StreamSocket]) -> None:
        session.continued = True
        for found in sockets:
            session.hold(found, SocketGrip(found))
            session.giving.go_on(record, taker(session, record))


def _pumps(stream: StreamSession) -> list[tuple[StreamTransport, Pump]]:
    """Return the connections that the program has, and what carries them."""
    begun = [transport for transport in stream.transports if transport.begun]
    found = [(transport, transport.get_protocol()) for transport in begun if not transport.is_closing()]
    return [(transport, pump) for transport, pump in found if isinstance(pump, Pump)]


def _in_loop(step: Callable[[], T]) -> T:
    async def run() -> T:
        return step()

    return background.run(run())


def _for_threads() -> RefusedError:
    return RefusedError("alone", "the session is one of stream sockets: go on with `session.connection`")


def _begin_anew() -> None:
    """Forget what a forked process has from its parent: the handlers' thread is the parent's."""
    global _threads  # noqa: PLW0603 - the one place where it is replaced
    _threads = ThreadRunner()


os.register_at_fork(after_in_child=_begin_anew)
