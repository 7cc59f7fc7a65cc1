"""The calls that a program begins with: is there a daemon, which session is this, is this a continuation.

Everything of this process hangs on one hub, which is made by the first call that needs it, and made anew in a
process that was forked.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

from sessionlayer.application.channel import close_all, connect, receive, send
from sessionlayer.application.errors import MigrateError, RefusedError, UnavailableError
from sessionlayer.application.functions import attach
from sessionlayer.application.grip import Connection, Owner, grip_of
from sessionlayer.application.hub import Hub, program_name
from sessionlayer.application.inert import Inert
from sessionlayer.application.messages import Denied, RegisterCompatibility
from sessionlayer.application.outcome import Outcome
from sessionlayer.application.report import log_failure
from sessionlayer.application.runners import ThreadRunner, in_loop, runner_here
from sessionlayer.application.session import Session
from sessionlayer.continuations.values import Tag

CONTINUATION_VARIABLE: Final = "MIGRATE_CONT"
"""The environment variable with the descriptor on which a continued process speaks with the daemon."""

PREVIOUS_VARIABLE: Final = "MIGRATE_PID"
"""The environment variable with the process id of the process before a continued one."""

NOT_ADOPTED: Final = "not-adopted"
"""The daemon's code of a connection that is no session yet."""

SESSION_WAIT_S: Final = 5.0
"""How long a connection may take to become a session: a handshake with the peer, some round trips."""


class _Process:
    """What this process has by now."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.hub: Hub | None = None
        self.continued: Session | None = None


_process = _Process()


def hub() -> Hub:
    """Return this process's conversation with the daemon.

    Raises:
        UnavailableError: there is no daemon.
    """
    with _process.lock:
        if _process.hub is None:
            _process.hub = Hub()
        return _process.hub


def available() -> bool:
    """Return whether a daemon keeps this host's sessions (the paper's migrate_avail)."""
    try:
        if _process.hub is None:
            connect().close()  # a thread is not needed for that, and would be in the way of one who forks
    except UnavailableError:
        return False
    return True


def get_session(connection: Connection, *, wait_s: float = SESSION_WAIT_S, optional: bool = False) -> Session:
    """Return the session of a connection (Table I, get_session); the same one whenever it is asked for.

    Args:
        connection: a TCP socket, or the descriptor of one; or a stream socket of `sessionlayer.sockets`,
            which needs no daemon.
        wait_s: how long it may take to become a session, if it is none yet.
        optional: wait for nothing. A connection that is no session yet has one in name only, without an
            `id`, instead of an error: it is never suspended, so that the program need not care. It becomes
            a session, with the handler and all else that was said of it, if the daemon takes the connection
            up within a minute.

    Raises:
        UnavailableError: there is no daemon.
        RefusedError: it can't be a session, for example because its peer has no daemon.
        TypeError: it is no connection.
    """
    try:
        return _ask(connection, None, 0.0 if optional else wait_s).result()
    except (UnavailableError, RefusedError) as error:
        if not optional:
            raise
        return _in_name_only(connection, None, error)


async def aio_session(
    connection: Connection, *, wait_s: float = SESSION_WAIT_S, optional: bool = False
) -> Session:
    """Return the session of a connection of this asyncio loop; the same one whenever it is asked for.

    The calling task is taken as the one that serves an `asyncio.StreamWriter`: it is cancelled when the
    session is given up by an internal continuation. Nobody is cancelled for a transport; its protocol's
    ``connection_lost`` is called.

    Args:
        connection: a writer or a transport of a TCP connection; or a writer of a virtual stream, which needs
            no daemon.
        wait_s: how long it may take to become a session, if it is none yet.
        optional: as for `get_session`.

    Raises:
        UnavailableError: there is no daemon.
        RefusedError: it can't be a session, for example because its peer has no daemon.
        TypeError: it is no connection.
    """
    from asyncio import current_task

    stream = connection.get_extra_info("session")
    if stream is not None:
        from sessionlayer.application.alone import stream_session

        return stream_session(connection, stream, current_task())
    try:
        return await _ask(connection, current_task(), 0.0 if optional else wait_s)
    except (UnavailableError, RefusedError) as error:
        if not optional:
            raise
        return _in_name_only(connection, current_task(), error)


def continued() -> Session | None:
    """Return the session with which this process is to go on; ``None`` if it was started otherwise.

    Its attributes and descriptors are there; its `connection` is a socket, of which an asyncio program makes
    a reader and a writer with `Session.open`.

    Raises:
        UnavailableError: the daemon has gone.
        MigrateError: it does not know the session any more.
    """
    with _process.lock:
        if _process.continued is None and CONTINUATION_VARIABLE in os.environ:
            _process.hub = Hub(_conversation(os.environ[CONTINUATION_VARIABLE]))
            _process.continued = _process.hub.continued().result()
        return _process.continued


def register_attach_handler(
    program: str, handler: Callable[..., Any], *, optional: bool = False
) -> Outcome[None]:
    """Take up sessions of ``program`` that other processes have given up (Table I, register_attach_handler).

    Args:
        program: a name that all processes of the program use.
        handler: called with ``(session, connection)``, in a thread of its own; in an asyncio program with
            ``(session, reader, writer)``.
        optional: do without a daemon if there is none: sessions of virtual streams that this process itself
            has given up with `migrate.system` are taken up either way, unless somebody awaits `resumed`.

    Raises:
        UnavailableError: there is no daemon.
        MigrateError: the daemon does not take it.
    """
    attach(program, handler)
    try:
        return _finished(hub().attach(program, handler))
    except UnavailableError:
        if not optional:
            raise
        return Outcome.of(None)


def register_compat_vector(*tags: Tag, program: str = "") -> Outcome[None]:
    """Say what this host offers to a program (Table I, register_compat_vector).

    It holds until it is said anew, also after the program's end. So a program says it when it starts; one
    that forks later does so safely, as no thread is started for it (outside of an asyncio loop).

    Args:
        tags: all that is offered; they take the place of what was said before.
        program: whose continuations are meant; by default those of this program, whose name is that of its
            first attach handler, else of its file.

    Raises:
        UnavailableError: there is no daemon.
        MigrateError: the daemon does not take it.
    """
    if _process.hub is None and not in_loop():
        return _ask_once(RegisterCompatibility(number=1, program=program or program_name(), tags=tags))
    found = hub()
    return _finished(found.offer(program or found.program, tags))


def freeze(session: Session) -> Outcome[None]:
    """Have the handler of a suspended session called that has kept running so far (Table I, freeze).

    Raises:
        RefusedError: the session is not suspended.
    """
    return session.freeze()


def _ask(connection: Connection, owner: Owner, wait_s: float) -> Outcome[Session]:
    grip = grip_of(connection, owner)
    if grip.descriptor() < 0:
        raise MigrateError("the connection is closed")
    if hasattr(connection, "stream_session"):
        from sessionlayer.application.blocking import socket_session

        return Outcome.of(socket_session(connection))
    return hub().get_session(connection, grip, wait_s)


def _in_name_only(connection: Connection, owner: Owner, error: MigrateError) -> Session:
    session = Session(b"", peer="", backend=Inert(), runner=runner_here(ThreadRunner()))
    session.hold(connection, grip_of(connection, owner))
    if isinstance(error, RefusedError) and error.code == NOT_ADOPTED:
        hub().expect_session(session)
    return session


def _ask_once(request: RegisterCompatibility) -> Outcome[None]:
    """Have a short conversation with the daemon, for what needs no longer one."""
    with connect() as connection:
        connection.settimeout(SESSION_WAIT_S)
        send(connection, request)
        answer, descriptors = receive(connection)
    close_all(descriptors)
    if isinstance(answer, Denied):
        raise RefusedError(answer.code, answer.reason)
    return Outcome.of(None)


def _conversation(number: str) -> socket.socket:
    os.set_inheritable(int(number), False)
    return socket.socket(fileno=int(number))


def _finished(outcome: Outcome[None]) -> Outcome[None]:
    if in_loop():
        outcome.when_done(lambda: log_failure(outcome, "a registration"))
    else:
        outcome.result()
    return outcome


def forget_daemon() -> None:
    """End the conversation with the daemon and begin anew with the next call; for tests."""
    if _process.hub is not None:
        _process.hub.close()
    _begin_anew()


def _begin_anew() -> None:
    """Forget what a forked process has from its parent: the conversation and its thread are the parent's."""
    global _process  # noqa: PLW0603 - the one place where the process's state is replaced
    _process = _Process()


os.register_at_fork(after_in_child=_begin_anew)
