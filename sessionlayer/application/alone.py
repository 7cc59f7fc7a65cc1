"""Sessions without a daemon: a virtual stream keeps its connections itself, in the program's own process.

A session that is given up loses its transports, readers, writers and tasks. What is left of it is its state,
compressed, which waits in the server for the client to come back. Sessions of programs with threads, whose
streams are sockets, are in `blocking`.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

import msgspec
from msgspec.structs import replace

from sessionlayer.aio import (
    Admit,
    Closed,
    Connected,
    HostKey,
    Judge,
    Resumed,
    SessionState,
    StreamEvent,
    StreamOptions,
    StreamServer,
    StreamSession,
    Suspended,
)
from sessionlayer.aio import start_server as start_stream_server
from sessionlayer.aio.transport import StreamTransport
from sessionlayer.application.carried import Carried, entrusted
from sessionlayer.application.entry import continued, hub
from sessionlayer.application.errors import MigrateError, RefusedError
from sessionlayer.application.functions import attached
from sessionlayer.application.grip import Buffered, Owner
from sessionlayer.application.outcome import Outcome
from sessionlayer.application.runners import LoopRunner
from sessionlayer.application.session import Session
from sessionlayer.continuations.values import Continuation, Kind
from sessionlayer.streams.limits import SUSPEND_S

_CODES: Final = {"expired": "expired", "closed": "closed", "aborted": "closed"}
"""What the end of a stream's session is called towards programs; anything else is a loss."""

CLIENT_WAIT_S: Final = 10.0
"""How long a process that was started for a session waits for its client; then the handler is asked again."""

_servers: Final[WeakKeyDictionary[StreamSession, StreamServer]] = WeakKeyDictionary()
_all_servers: Final[WeakSet[StreamServer]] = WeakSet()
_sessions: Final[WeakKeyDictionary[StreamSession, Session]] = WeakKeyDictionary()


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
    """Listen for virtual streams whose sessions can be given up; see `sessionlayer.aio.start_server`.

    In a process that was started to go on with such a session, its listening sockets are taken instead of
    ``host`` and ``port``, and `Session.open` has its connections.

    Raises:
        OSError: the address can't be listened on.
        MigrateError: the daemon has no session any more for this process.
    """

    async def remember(
        session: StreamSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _servers[session] = server
        outcome = connected(session, reader, writer)
        if inspect.isawaitable(outcome):
            await outcome

    session = continued()
    if session is not None and (carried := session.giving.carried) is not None:
        sockets = [socket.socket(fileno=number) for number in carried.listeners]
        server = StreamServer(sockets, remember, admit, identity, judge, options or StreamOptions())
        _all_servers.add(server)
        _go_on(session, server, carried)
        return server
    server = await start_stream_server(
        remember, host, port, identity=identity, judge=judge, options=options, admit=admit
    )
    _all_servers.add(server)
    return server


def _go_on(session: Session, server: StreamServer, carried: Carried) -> None:
    """Let a session go on in this process, whose client is about to come back."""
    session.giving.carried = None
    state = msgspec.msgpack.decode(carried.state, type=SessionState)
    suspended_s = max(state.suspended_s, SUSPEND_S)  # so that its return is told of
    stream = server.restore(replace(state, suspended_s=suspended_s))
    session.peer, session.runner = stream.peer, LoopRunner()
    session.backend = keeper = StreamKeeper(stream, server)
    _servers[stream], _sessions[stream] = server, session
    keeper.watch(session, stream)
    keeper.take_in()
    asyncio.get_running_loop().call_later(CLIENT_WAIT_S, _rest_again, session)


def _rest_again(session: Session) -> None:
    """Ask the handler again where somebody else than the client had knocked."""
    if session.suspended:
        session.giving.suspend(session.because, required=True)


def known_session(stream: StreamSession) -> Session | None:
    """Return the session of an association that has been asked for before."""
    return _sessions.get(stream)


def remember_session(stream: StreamSession, session: Session) -> None:
    """Let everybody who asks for the session of an association have the same."""
    _sessions[stream] = session


def stream_session(writer: asyncio.StreamWriter, stream: StreamSession, owner: Owner) -> Session:
    """Return the session of a virtual stream; all connections of its association have the same."""
    session = _sessions.get(stream)
    if session is None:
        session = Session(
            stream.id,
            peer=stream.peer,
            backend=StreamKeeper(stream, _servers.get(stream)),
            runner=LoopRunner(),
        )
        _keeper(session).watch(session, stream)
        _sessions[stream] = session
    _keeper(session).grips.append(grip := StreamGrip(owner))
    session.hold(writer, grip)
    return session


class StreamGrip:
    """A hold on one virtual stream. Its bytes are taken along by the stream's own state."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def descriptor(self) -> int:
        """Return -1: there is no descriptor."""
        return -1

    def buffered(self) -> Buffered:
        """Return nothing: freezing the stream takes it."""
        return Buffered()

    def detach(self) -> None:
        """Do nothing: freezing the stream takes it out of the program's hands."""

    def end(self) -> None:
        """End the task that serves the connection."""
        if self._owner is not None:
            self._owner.cancel("its session has been suspended")

    def drop(self) -> None:
        """Do nothing: the writer is dead with its stream."""


class StreamKeeper:
    """The `Backend` of the session of one association."""

    def __init__(self, stream: StreamSession, server: StreamServer | None) -> None:
        self.grips: list[StreamGrip] = []
        self._stream: StreamSession | None = stream  # none while it is frozen
        self._server = server
        self._record: Continuation | None = None
        self._coming: list[StreamTransport] = []

    def watch(self, session: Session, stream: StreamSession) -> None:
        """Tell the session what happens to its stream."""

        def imported(values: dict[str, bytes]) -> None:
            session.imported = values  # it is all there is, so that no peer can pile up

        stream.on_import(imported)
        stream.on_event(lambda event: self._heard(session, event))

    # --- what the session asks for ---

    def listen(self, session: Session, *, lazy: bool) -> Outcome[None]:
        """Do nothing: the session is told of everything anyway."""
        return Outcome.of(None)

    def export(self, session: Session, values: Mapping[str, bytes]) -> Outcome[None]:
        """Tell the peer at the next resumption, over the control transport."""
        if self._stream is None:
            return _refused("the session is given up; export before that")
        self._stream.export(values)
        return Outcome.of(None)

    def depend(self, session: Session, parent: Session) -> Outcome[None]:
        """Refuse: whoever suspends such sessions is the network alone."""
        return _refused("without a daemon sessions do not depend on each other")

    def give_up(self, session: Session, record: Continuation, descriptors: Sequence[int]) -> Outcome[None]:
        """Freeze the stream. Its connections go on with the record's function when the client is back."""
        if record.kind is Kind.COMPLETE:
            return self._entrust(session, record, descriptors[1:])
        stream, refusal = self._stream, self._refusal(session, record)
        if stream is None or refusal:
            return _refused(refusal)
        self._take_back(stream)
        self._rest(session, stream, record)
        return Outcome.of(None)

    def _refusal(self, session: Session, record: Continuation) -> str:
        """Return why a continuation can't be taken over, or an empty string."""
        if record.descriptors[1:]:
            return "without a daemon nobody keeps descriptors for a program that runs on; keep them open"
        if self._stream is None or (self._server is None and self._stream.dialer is None):
            return "a session is given up by clients, and servers that `migrate.start_server` has started"
        return ""

    def _take_back(self, stream: StreamSession) -> None:
        """Take the connections out of the program's hands."""
        for grip in self.grips:
            grip.end()
        self.grips.clear()

    def _rest(self, session: Session, stream: StreamSession, record: Continuation) -> None:
        server = self._server
        self._record, self._stream = record, None
        if server is not None:
            server.freeze(stream, lambda new: self._woken(session, new), lambda end: self._over(session, end))
        elif stream.dialer is not None:
            state = stream.freeze()  # a client has to look for its server, which takes a live object
            suspended_s = max(state.suspended_s, SUSPEND_S)  # so that its return is told of
            self._woken(session, stream.dialer.restore(replace(state, suspended_s=suspended_s)))

    def _entrust(self, session: Session, record: Continuation, descriptors: Sequence[int]) -> Outcome[None]:
        """Give the session to the daemon, with the server's listening sockets; this process is to end.

        Raises:
            UnavailableError: there is no daemon.
            RefusedError: the daemon does not take it.
        """
        stream, server = self._stream, self._server
        if stream is None or server is None or stream.state != "suspended":
            return _refused("only a suspended session of `migrate.start_server` ends with its process")
        servers = [one for one in _all_servers if one.sockets]
        count = sum(len(one.sessions) + one.frozen for one in servers)
        if count > 1 or len(servers) > 1:
            return _refused(
                f"this process serves {count} sessions with {len(servers)} servers; only one that serves a "
                "single session can end with it, so return `migrate.internal`"
            )
        daemon = hub()
        daemon.bring(session).result()
        listeners = [sock.fileno() for sock in server.sockets]
        state = msgspec.msgpack.encode(stream.snapshot())
        return daemon.entrust(session, entrusted(record, state, listeners), (*listeners, *descriptors))

    def keep_running(self, session: Session) -> None:
        """Do nothing: the stream waits by itself."""

    def fail(self, session: Session, reason: str) -> None:
        """Do nothing: the stream waits by itself."""

    def report_health(self, session: Session, *, healthy: bool, reason: str) -> bool:
        """Tell nobody: policy is the daemon's, which chooses no links for virtual streams."""
        return True

    def freeze(self, session: Session) -> Outcome[None]:
        """Ask the handler of a suspended session, with urgency."""
        if not session.suspended:
            return _refused("the session is not suspended")
        session.runner.call(lambda: session.giving.suspend(session.because, required=True))
        return Outcome.of(None)

    def close(self, session: Session) -> Outcome[None]:
        """Forget the session. Its streams are left to the program; where that has given them up they end."""
        if self._stream is not None:
            _sessions.pop(self._stream, None)
        elif self._server is not None:
            self._server.forget(session.id)
        return Outcome.of(None)

    async def open(self, session: Session) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the streams of the next connection that goes on.

        Raises:
            MigrateError: there is none.
        """
        transport = self._next()
        reader, writer = transport.session.streams_for(transport)
        self.grips.append(grip := StreamGrip(asyncio.current_task()))
        session.hold(writer, grip)
        return reader, writer

    async def create_connection(
        self, session: Session, factory: Callable[[], asyncio.BaseProtocol]
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Let a new protocol go on with the next connection.

        Raises:
            MigrateError: there is none.
        """
        transport, protocol = self._next(), factory()
        self.grips.append(grip := StreamGrip(None))
        session.hold(transport, grip)
        transport.begin(protocol)
        transport.resume_reading()
        return transport, protocol

    def take_in(self) -> None:
        """Have the connections ready that were restored."""
        assert self._stream is not None
        self._coming += self._stream.take_restored()

    def _next(self) -> StreamTransport:
        if not self._coming:
            raise MigrateError("the session has no further connection to go on with")
        return self._coming.pop(0)

    # --- what the stream tells ---

    def _heard(self, session: Session, event: StreamEvent) -> None:
        match event:
            case Suspended() if self._record is None:
                required = not session.callbacks.lazy
                session.runner.call(lambda: session.giving.suspend((event.reason,), required=required))
            case Resumed():
                self._back(session)
            case Closed() if event.code != "frozen":
                self._over(session, event)

    def _woken(self, session: Session, stream: StreamSession) -> None:
        self._stream = stream
        _sessions[stream] = session
        if self._server is not None:
            _servers[stream] = self._server
        self.watch(session, stream)

    def _over(self, session: Session, closed: Closed) -> None:
        code = _CODES.get(closed.code, "lost")
        session.runner.call(lambda: session.tell_ended(code, closed.reason))

    def _back(self, session: Session) -> None:
        session.runner.call(lambda: self._resume(session))

    def _resume(self, session: Session) -> None:
        record, self._record = self._record, None
        if record is None:
            session.tell_resumed(None)
            return
        self.take_in()
        session.continued = True
        for _ in tuple(self._coming):
            session.giving.go_on(record, taker(session, record))


def taker(session: Session, record: Continuation) -> Callable[..., Any] | None:
    """Return the attach handler where it is to go on: nobody was named, and nobody waits."""
    return None if record.function or session.giving.awaited else attached()


def _keeper(session: Session) -> StreamKeeper:
    assert isinstance(session.backend, StreamKeeper)
    return session.backend


def _refused(reason: str) -> Outcome[None]:
    outcome: Outcome[None] = Outcome()
    outcome.fail(RefusedError("alone", reason))
    return outcome
