"""The daemon as the keeper of sessions: what a session asks of it, as requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sessionlayer.application.channel import close_all
from sessionlayer.application.daemon import Daemon
from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import (
    CloseSession,
    DependOn,
    Export,
    Freeze,
    HandlerFailed,
    KeepAlive,
    KeepRunning,
    RegisterHandler,
    ReturnContinuation,
)
from sessionlayer.application.outcome import Outcome
from sessionlayer.continuations.values import Continuation

if TYPE_CHECKING:
    from asyncio import BaseProtocol, StreamReader, StreamWriter, Transport

    from sessionlayer.application.session import Session


class Keeper:
    """The `Backend` of the sessions that the daemon keeps.

    It remembers what was asked for each session, to ask it again of a daemon that comes back.

    Args:
        daemon: the conversation.
        program: returns the name under which a session's continuation is to be found again.
        forget: is told of sessions that were closed.
    """

    def __init__(
        self,
        daemon: Daemon,
        program: Callable[[Session, Continuation], str],
        forget: Callable[[Session], None],
    ) -> None:
        self._daemon = daemon
        self._program = program
        self._forget = forget

    def listen(self, session: Session, *, lazy: bool) -> Outcome[None]:
        """Register the session's handler."""
        return self._ask(lambda number: RegisterHandler(number=number, session=session.id, lazy=lazy))

    def export(self, session: Session, values: Mapping[str, bytes]) -> Outcome[None]:
        """Have attributes told to the peer."""
        return self._ask(lambda number: Export(number=number, session=session.id, values=dict(values)))

    def depend(self, session: Session, parent: Session) -> Outcome[None]:
        """Make the session depend on its parent."""
        return self._ask(lambda number: DependOn(number=number, session=session.id, parent=parent.id))

    def give_up(self, session: Session, record: Continuation, descriptors: Sequence[int]) -> Outcome[None]:
        """Send a continuation in a memory file, with its descriptors."""
        from sessionlayer.continuations.codec import encode

        program = self._program(session, record)
        memory = write_memory(encode(record))
        try:
            return self._ask(
                lambda number: ReturnContinuation(number=number, session=session.id, program=program),
                (memory, *descriptors),
            )
        finally:
            os.close(memory)

    def keep_running(self, session: Session) -> None:
        """Say that the program waits."""
        self._daemon.tell(KeepRunning(session=session.id))

    def fail(self, session: Session, reason: str) -> None:
        """Say that the program can't go on."""
        self._daemon.tell(HandlerFailed(session=session.id, reason=reason))

    def report_health(self, session: Session, *, healthy: bool, reason: str) -> bool:
        """Tell the daemon."""
        return self._daemon.mention(KeepAlive(session=session.id, healthy=healthy, reason=reason))

    def freeze(self, session: Session) -> Outcome[None]:
        """Demand the session's continuation."""
        return self._ask(lambda number: Freeze(number=number, session=session.id))

    def close(self, session: Session) -> Outcome[None]:
        """Forget the session here and there."""
        self._forget(session)
        return self._ask(lambda number: CloseSession(number=number, session=session.id))

    async def open(self, session: Session) -> tuple[StreamReader, StreamWriter]:
        """Make streams of the socket that came back."""
        from sessionlayer.application.streams import open_session

        return await open_session(session)

    async def create_connection(
        self, session: Session, factory: Callable[[], BaseProtocol]
    ) -> tuple[Transport, BaseProtocol]:
        """Let a new protocol go on with the socket that came back."""
        from sessionlayer.application.streams import create_connection

        return await create_connection(session, factory)

    def ask_again(self, session: Session) -> None:
        """Ask a daemon that came back for all that was asked for this session; nobody waits for it."""
        if session.callbacks.handler is not None:
            self.listen(session, lazy=session.callbacks.lazy)
        if exported := session.exported():
            self.export(session, exported)
        for parent in session.parents:
            if parent.id:
                self.depend(session, parent)
        session.health.say_again()

    def _ask(self, make: Callable[[int], Any], descriptors: Sequence[int] = ()) -> Outcome[None]:
        return self._daemon.request(make, descriptors).then(lambda reply: close_all(reply.descriptors))
