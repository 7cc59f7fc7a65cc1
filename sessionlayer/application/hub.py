"""All that this process has with the daemon: its sessions, and what it has registered.

What is registered is remembered, and said again to a daemon that comes back.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sessionlayer.application.carried import take_carried
from sessionlayer.application.channel import close_all
from sessionlayer.application.daemon import Daemon, Reply
from sessionlayer.application.errors import RefusedError
from sessionlayer.application.grip import Connection, Grip, SocketGrip
from sessionlayer.application.inert import Inert
from sessionlayer.application.keeper import Keeper
from sessionlayer.application.memory import read_memory
from sessionlayer.application.messages import (
    CreateSession,
    Ended,
    GetSession,
    Granted,
    Imported,
    Invoke,
    Notice,
    RegisterAttachHandler,
    RegisterCompatibility,
    Request,
    Resume,
    Suspend,
    Waiting,
)
from sessionlayer.application.outcome import Outcome
from sessionlayer.application.report import log_error, log_warning
from sessionlayer.application.runners import Runner, ThreadRunner, runner_here, socket_of
from sessionlayer.application.session import Session
from sessionlayer.continuations.limits import ENCODED_MAX
from sessionlayer.continuations.values import CONNECTION, Continuation, Kind, Tag

_NAME_MAX: Final = 255

ADOPTION_WAIT_S: Final = 60.0
"""How long a connection may take to become a session that nobody waits for: the daemon's own bound."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Who takes up sessions of a program whose processes have ended.

    Attributes:
        handler: of the program; without one, the function that the continuation names goes on.
        runner: where it runs.
    """

    handler: Callable[..., Any] | None
    runner: Runner


@dataclass(frozen=True, slots=True)
class Opened:
    """A continuation as it came, and its descriptors.

    Attributes:
        record: the continuation.
        connection: the connection's descriptor, or ``None`` where there is no connection any more.
        others: the other descriptors, in the record's order.
    """

    record: Continuation
    connection: int | None
    others: tuple[int, ...]


class Hub:
    """This process and the daemon.

    Args:
        connection: to the daemon, if there is one already.

    Raises:
        UnavailableError: there is no daemon.
    """

    def __init__(self, connection: socket.socket | None = None) -> None:
        self._sessions: dict[bytes, Session] = {}
        self._threads = ThreadRunner()
        self._attachments: dict[str, Attachment] = {}
        self._vectors: dict[str, tuple[Tag, ...]] = {}
        self._daemon = Daemon(self._notice, self._register_again, connection)
        self._keeper = Keeper(self._daemon, self._program, self._forget)

    def close(self) -> None:
        """End the conversation with the daemon; connections stay as they are."""
        self._daemon.close()

    # --- what the program asks for ---

    def get_session(self, connection: Connection, grip: Grip, wait_s: float) -> Outcome[Session]:
        """Return an outcome of the session of a connection; the same one whenever it is asked for."""
        runner = runner_here(self._threads)
        asked = self._daemon.request(
            lambda number: GetSession(number=number, wait_s=wait_s), (grip.descriptor(),)
        )
        return asked.then(lambda reply: self._found(reply, connection, grip, runner))

    def expect_session(self, session: Session) -> None:
        """Let a session in name only become one when the daemon adopts its connection."""
        asked = self._daemon.request(
            lambda number: GetSession(number=number, wait_s=ADOPTION_WAIT_S), (session.grip.descriptor(),)
        )
        asked.when_done(lambda: session.runner.call(lambda: self._adopt(session, asked)))

    def continued(self) -> Outcome[Session]:
        """Return an outcome of the session for which this process was started."""
        asked = self._daemon.request(lambda number: GetSession(number=number))
        return asked.then(self._taken_up)

    def entrust(self, session: Session, record: Continuation, descriptors: Sequence[int]) -> Outcome[None]:
        """Give a session of virtual streams up, which has been brought before."""
        return self._keeper.give_up(session, record, descriptors)

    def bring(self, session: Session) -> Outcome[None]:
        """Tell the daemon of a session that it has not adopted."""
        return self._ask(lambda number: CreateSession(number=number, session=session.id, peer=session.peer))

    def attach(self, program: str, handler: Callable[..., Any] | None) -> Outcome[None]:
        """Offer to go on with sessions of a program, whichever process of it has given them up."""
        self._attachments[program] = Attachment(handler, runner_here(self._threads))
        return self._ask_attach(program)

    def offer(self, program: str, tags: tuple[Tag, ...]) -> Outcome[None]:
        """Say what this host offers to a program."""
        self._vectors[program] = tags
        return self._ask(lambda number: RegisterCompatibility(number=number, program=program, tags=tags))

    def _ask_attach(self, program: str) -> Outcome[None]:
        return self._ask(lambda number: RegisterAttachHandler(number=number, program=program))

    def _found(self, reply: Reply, connection: Connection, grip: Grip, runner: Runner) -> Session:
        granted = reply.granted
        close_all(reply.descriptors)
        session = self._session(granted.session, granted.peer, runner)
        session.hold(connection, grip)
        session.suspended = granted.suspended
        session.take_imported(granted.imported)
        return session

    def _adopt(self, session: Session, asked: Outcome[Reply]) -> None:
        if asked.error is not None:
            return  # it stays one in name only, which is what the program has allowed
        granted = asked.result().granted
        close_all(asked.result().descriptors)
        unwanted = isinstance(session.backend, Inert) and session.backend.closed
        if unwanted or session.grip.descriptor() < 0 or granted.session in self._sessions:
            return
        session.id, session.peer, session.backend = granted.session, granted.peer, self._keeper
        session.take_imported(granted.imported)
        self._sessions[session.id] = session
        self._keeper.ask_again(session)
        for child in [other for other in self._sessions.values() if session in other.parents]:
            self._keeper.depend(child, session)

    def _taken_up(self, reply: Reply) -> Session:
        granted = reply.granted
        opened = open_continuation(reply.descriptors)
        session = self._session(granted.session, granted.peer, self._threads)
        session.suspended = granted.suspended
        session.take_imported(granted.imported)
        session.giving.restore(opened.record, opened.others)
        session.giving.carried = take_carried(opened.record, session)
        if session.giving.carried is not None:
            self._forget(session)  # it is the stream's from now on
        elif opened.connection is not None:
            found = socket_of(opened.connection)
            session.hold(found, SocketGrip(found))
        return session

    def _session(self, identifier: bytes, peer: str, runner: Runner) -> Session:
        known = self._sessions.get(identifier)
        if known is None:
            known = Session(identifier, peer=peer, backend=self._keeper, runner=runner)
            self._sessions[identifier] = known
        return known

    def _ask(self, make: Callable[[int], Request]) -> Outcome[None]:
        return self._daemon.request(make).then(lambda reply: close_all(reply.descriptors))

    def _program(self, session: Session, record: Continuation) -> str:
        """Return the name under which a continuation is found again, and see to it that it is."""
        if record.kind is Kind.INTERNAL and not self._attachments:
            self.attach(program_name(), None)
        return session.program or self.program

    @property
    def program(self) -> str:
        """Return the name of this program: that of its first attach handler, else its file's name."""
        return next(iter(self._attachments), program_name())

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)

    # --- what the daemon says; in the reading thread ---

    def _notice(self, notice: Notice, descriptors: tuple[int, ...]) -> None:
        session = self._sessions.get(notice.session)
        if isinstance(notice, Invoke):
            self._invoke(notice, descriptors, session)
            return
        close_all(descriptors)
        if session is not None:
            self._tell(session, notice)
        elif isinstance(notice, Ended):
            log_warning(f"a session that another process gave up can't be taken up: {notice.reason}")

    def _tell(self, session: Session, notice: Suspend | Resume | Waiting | Imported | Ended) -> None:
        match notice:
            case Suspend():
                session.runner.call(lambda: session.giving.suspend(notice.because, required=notice.required))
            case Resume():
                session.runner.call(lambda: session.tell_resumed(notice.imported))
            case Waiting():
                session.runner.call(lambda: session.tell_waiting(notice.because))
            case Imported():
                session.runner.call(lambda: session.take_imported(notice.values))
            case Ended():
                self._forget(session)
                session.runner.call(lambda: session.tell_ended(notice.code, notice.reason))

    def _invoke(self, notice: Invoke, descriptors: tuple[int, ...], session: Session | None) -> None:
        """Give a session its connection back: to who has given it up, else to the attach handler."""
        handler = None
        if session is None:
            attachment = self._attachments.get(notice.program, Attachment(None, self._threads))
            handler = attachment.handler
            session = self._session(notice.session, notice.peer, attachment.runner)
            session.program = notice.program
        session.runner.call(lambda: self._go_on(session, notice, descriptors, handler))

    def _go_on(
        self,
        session: Session,
        notice: Invoke,
        descriptors: tuple[int, ...],
        handler: Callable[..., Any] | None,
    ) -> None:
        try:
            opened = open_continuation(descriptors)
        except (ValueError, OSError) as error:
            log_error("going on with a session", error)
            self._keeper.fail(session, f"its continuation can't be read: {error}")
            return
        session.take_imported(notice.imported)
        session.giving.restore(opened.record, opened.others)
        if opened.connection is None or notice.expired:
            self._forget(session)
            session.tell_ended("expired", "nobody came back in time")
        else:
            session.giving.invoke(opened.record, opened.connection, handler)

    # --- a daemon that came back ---

    def _register_again(self) -> None:
        for program in self._attachments:
            self._ask_attach(program)
        for program, tags in self._vectors.items():
            self.offer(program, tags)
        for session in list(self._sessions.values()):
            session.runner.call(partial(self._rejoin, session))

    def _rejoin(self, session: Session) -> None:
        """Ask for a session again; in the program's context, as it may just be giving it up."""
        session.giving.settle()
        if session.connection is None:
            self._wait_again(session)
        else:
            self._find_again(session)

    def _wait_again(self, session: Session) -> None:
        """Say that this process waits for a session that it has given up."""
        asked = self._keeper.listen(session, lazy=session.callbacks.lazy)
        asked.when_done(lambda: self._lose(session, asked))

    def _find_again(self, session: Session) -> None:
        """Ask for a session by its connection, as the daemon may have lost it or know it by another id."""
        descriptor = session.grip.descriptor()
        if descriptor < 0:
            self._forget(session)  # the program has closed it meanwhile
            return
        asked = self._daemon.request(lambda number: GetSession(number=number), (descriptor,))
        asked.when_done(lambda: self._found_again(session, asked))

    def _found_again(self, session: Session, asked: Outcome[Reply]) -> None:
        if asked.error is None:
            self._rejoined(session, asked.result())
        else:
            self._lose(session, asked)

    def _lose(self, session: Session, asked: Outcome[Any]) -> None:
        """End a session that the daemon does not know any more."""
        if isinstance(asked.error, RefusedError):
            reason = asked.error.reason
            self._forget(session)
            session.runner.call(lambda: session.tell_ended("lost", reason))

    def _rejoined(self, session: Session, reply: Reply) -> None:
        close_all(reply.descriptors)
        granted: Granted = reply.granted
        self._forget(session)
        session.id = granted.session
        self._sessions[session.id] = session
        self._keeper.ask_again(session)
        if not granted.suspended:
            session.runner.call(lambda: session.tell_resumed_if_suspended(granted.imported))


def open_continuation(descriptors: tuple[int, ...]) -> Opened:
    """Read a continuation from its memory file, and match its descriptors with their names.

    Raises:
        ValueError: it is damaged or too new, or descriptors are missing. All descriptors are closed.
        OSError: its memory file can't be read. All descriptors are closed.
    """
    from sessionlayer.continuations.codec import decode

    try:
        record = decode(read_memory(descriptors[0], ENCODED_MAX) if descriptors else b"")
        return _matched(record, descriptors[1:])
    except (ValueError, OSError):
        close_all(descriptors[1:])
        raise
    finally:
        close_all(descriptors[:1])


def _matched(record: Continuation, descriptors: tuple[int, ...]) -> Opened:
    others = len(record.descriptors) - (CONNECTION in record.descriptors)
    if len(descriptors) == others:
        return Opened(record, None, descriptors)
    if len(descriptors) == others + 1:
        return Opened(record, descriptors[0], descriptors[1:])
    raise ValueError(f"a continuation with {others} descriptors came with {len(descriptors)}")


def program_name() -> str:
    """Return the name of this program, as its internal continuations have it: its file's name."""
    return os.path.basename(sys.argv[0])[:_NAME_MAX] or "python"  # noqa: PTH119 - pathlib is slow to import
