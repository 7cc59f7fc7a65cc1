"""A session, as its program sees it: the same object over the daemon and over virtual streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sessionlayer.application.errors import SessionEndedError
from sessionlayer.application.giving import Giving
from sessionlayer.application.grip import Connection, Grip, SocketGrip
from sessionlayer.application.health import Health
from sessionlayer.application.outcome import Outcome
from sessionlayer.application.report import log_failure, log_warning
from sessionlayer.application.runners import LoopRunner, Runner, ThreadRunner
from sessionlayer.continuations.attributes import AttributeStore
from sessionlayer.continuations.values import RESERVED, Tag

if TYPE_CHECKING:
    import asyncio

    from sessionlayer.application.backend import Backend
    from sessionlayer.application.continuation import Continuation

Handler = Callable[["Session"], Any]
"""Takes a session that is suspended; returns a `Continuation` or ``None``, or a coroutine that does."""

Denied = Callable[["Session", BaseException], Any]
"""Takes a session whose continuation was not taken, and why; may be a coroutine function likewise."""

Callback = Callable[["Session"], Any]
"""Takes a session that something has happened to; may be a coroutine function in an asyncio program."""


@dataclass(slots=True)
class Callbacks:
    """What the program wants to be told."""

    handler: Handler | None = None
    lazy: bool = False
    denied: Denied | None = None
    resumed: Callback | None = None
    ended: Callback | None = None


def keep_running(session: Session) -> None:
    """Be the handler of a program that keeps running."""


class Session:
    """One session of this program, made by `get_session`, `aio_session`, `continued`, or a continuation.

    With threads, its calls that need the daemon have come to their end when they return. In an asyncio
    program they return at once, and what they return can be awaited to know how they have ended.

    Attributes:
        id: 16 bytes, the same at both ends.
        peer: the remote address and port, for people.
        program: as which program's it was taken up by an attach handler; empty for others.
        connection: what the session was asked for with; the socket that came back, in a session that goes on.
        descriptors: what came with a continuation besides the connection, by name.
        imported: the attributes that the peer has exported, as they were when the session last went on.
        continued: whether it goes on from a continuation.
        suspended: whether it waits for the network.
        because: why it is suspended: one or more reasons, for people; the last that was told.
        ended: why it is no session any more, or ``None``.
    """

    def __init__(self, identifier: bytes, *, peer: str, backend: Backend, runner: Runner) -> None:
        self.id = identifier
        self.peer = peer
        self.program = ""
        self.connection: Any = None
        self.descriptors: dict[str, int] = {}
        self.imported: dict[str, bytes] = {}
        self.continued = False
        self.suspended = False
        self.because: tuple[str, ...] = ()
        self.ended: SessionEndedError | None = None
        self.backend = backend
        self.runner = runner
        self.grip: Grip = SocketGrip(-1)
        self.callbacks = Callbacks()
        self.attributes = AttributeStore()
        self.compatibility: tuple[Tag, ...] = ()
        self.parents: set[Session] = set()
        self.giving = Giving(self)
        self.health = Health(self)

    # --- the attribute store (Table I) ---

    def store(self, name: str, value: bytes) -> None:
        """Keep an attribute with the session (Table I, store).

        Raises:
            AttributeStoreFullError: there is no room for it; nothing has changed.
            ValueError: the name is not allowed.
        """
        if name.startswith(RESERVED):
            raise ValueError(
                f"`{name}` is not allowed: names that begin with `{RESERVED}` are the library's own"
            )
        self.attributes.store(name, value)
        if name in self.attributes.exported:
            self.backend.export(self, self.exported())

    def retrieve(self, name: str) -> bytes:
        """Return an attribute (Table I, retrieve).

        Raises:
            KeyError: there is none of that name.
        """
        return self.attributes.retrieve(name)

    def store_size(self, name: str) -> int:
        """Return how many bytes an attribute has (Table I, store_size).

        Raises:
            KeyError: there is none of that name.
        """
        return self.attributes.store_size(name)

    def delete(self, name: str) -> None:
        """Forget an attribute.

        Raises:
            KeyError: there is none of that name.
        """
        was_exported = name in self.attributes.exported
        self.attributes.delete(name)
        if was_exported:
            self.backend.export(self, self.exported())

    def export(self, name: str) -> Outcome[None]:
        """Let the peer have an attribute in its `imported` at the next resumption (Table I, export).

        Raises:
            KeyError: there is none of that name.
            AttributeStoreFullError: what is exported would be too large.
            MigrateError: the daemon does not take it.
        """
        self.attributes.export(name)
        return self._finished(self.backend.export(self, self.exported()))

    def exported(self) -> dict[str, bytes]:
        """Return the attributes that the peer will be told."""
        return {name: self.attributes.retrieve(name) for name in self.attributes.exported}

    # --- what it needs ---

    def depend_on(self, parent: Session) -> Outcome[None]:
        """Let this session suspend and resume with ``parent``, but not the other way round (section IV-D).

        Raises:
            RefusedError: ``parent`` depends on this session.
            MigrateError: the daemon does not take it.
        """
        outcome = self.backend.depend(self, parent).then(lambda _: self.parents.add(parent))
        return self._finished(outcome)

    def compat_store(self, *tags: Tag) -> None:
        """Say what has to be as it is now when the session goes on (Table I, compat_store).

        Args:
            tags: see `migrate.python_tag` and `migrate.package_tags`; they take the place of earlier ones.
        """
        self.compatibility = tags

    # --- how it is ---

    def keep_alive(self) -> None:
        """Say that all is well now, as far as the program can tell; as often as it likes.

        The policy's `keepalive-age` is the time since then. It neither waits nor raises anything; without a
        daemon, and on virtual streams, nobody is told.

        Source: the Migrate paper, section V-E (application keep-alives).
        """
        self.report_health(healthy=True)

    def report_health(self, healthy: bool, reason: str = "") -> None:
        """Say whether all is well, for the policy's `healthy`; otherwise as `keep_alive`.

        Args:
            healthy: whether the program gets through this session what it needs.
            reason: what is wrong, for people; the first 200 characters count.
        """
        self.health.say(healthy=healthy, reason=reason)

    # --- suspension and resumption ---

    def register_handler(self, handler: Handler | None = None, *, lazy: bool = False) -> Outcome[None]:
        """Have ``handler(session)`` called when the session is suspended (Table I, register_handler).

        It returns a continuation, or ``None`` to keep running and wait. What it raises is told to the daemon,
        and the session waits with its program. It is never called again before it has returned.

        Args:
            handler: a function, or a coroutine function in an asyncio program. Without one the program keeps
                running; it sees `suspended`, and may use `return_cont` when it has come to a quiescent point.
            lazy: call it only when the daemon needs the continuation. Policy may say so, too (`resume lazy`).

        Raises:
            MigrateError: the daemon does not take it.
        """
        self.check_alive()
        self.callbacks.handler, self.callbacks.lazy = handler or keep_running, lazy
        return self._finished(self.backend.listen(self, lazy=lazy))

    def on_denied(self, callback: Denied) -> None:
        """Have ``callback(session, error)`` called when the handler's continuation is not taken.

        The session is still suspended, and the program still has its connection, as after ``None``; after an
        internal continuation of an asyncio program the library has it, and calls the function at resumption.
        """
        self.callbacks.denied = callback

    def on_resume(self, callback: Callback) -> None:
        """Have ``callback(session)`` called when a session goes on whose program has kept running."""
        self.callbacks.resumed = callback

    def on_end(self, callback: Callback) -> None:
        """Have ``callback(session)`` called when the session is one no more; `ended` says why."""
        self.callbacks.ended = callback

    def return_cont(self, continuation: Continuation) -> Outcome[None]:
        """Give the session up at a quiescent point, outside of the handler (Table I, return_cont).

        With a complete continuation the process ends here. After another one the connection is closed here:
        the caller has to leave it alone, and to come to its end.

        Raises:
            RefusedError: the daemon does not take it; the program still has its connection.
            MigrateError: the continuation can't be made; the program still has its connection.
        """
        self.check_alive()
        return self._finished(self.giving.give(continuation))

    def freeze(self) -> Outcome[None]:
        """Have the handler of a suspended session called that has kept running so far (Table I, freeze).

        Raises:
            RefusedError: the session is not suspended.
        """
        self.check_alive()
        return self._finished(self.backend.freeze(self))

    def close(self) -> Outcome[None]:
        """End the session, not its connection; attributes are forgotten (Table I, session_close).

        Raises:
            MigrateError: the daemon does not know it.
        """
        return self._finished(self.backend.close(self))

    def resumed(self) -> Outcome[Any]:
        """Return an outcome of the connection, which comes when the session goes on, at once if it does.

        After `system` this is how the program gets its connection back. It fails with `SessionEndedError`.
        """
        return self.giving.resumed()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a reader and a writer of a connection that has come back, and go on in this loop.

        Bytes that the suspended program had not read are read first, those it had not sent are sent first.

        Raises:
            SessionEndedError: there is no connection any more.
        """
        self.check_alive()
        self.runner = LoopRunner()
        return await self.backend.open(self)

    async def create_connection(
        self, factory: Callable[[], asyncio.BaseProtocol]
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Return a transport and a new protocol of a connection that has come back, and go on in this loop.

        The protocol is told ``connection_made``, then handed what the suspended program had not read; what
        that had not sent is sent before anything that the protocol writes.

        Raises:
            SessionEndedError: there is no connection any more.
        """
        self.check_alive()
        self.runner = LoopRunner()
        return await self.backend.create_connection(self, factory)

    def check_alive(self) -> None:
        """Do nothing for a session that is one.

        Raises:
            SessionEndedError: it is one no more.
        """
        if self.ended is not None:
            raise self.ended

    # --- what the backend tells; called in the program's context ---

    def hold(self, connection: Connection, grip: Grip) -> None:
        """Know the session's connection from now on."""
        self.connection, self.grip = connection, grip

    def take_imported(self, imported: Mapping[str, bytes] | None) -> None:
        """Know what the peer has exported, all of it; ``None`` is from a daemon that does not know it."""
        if imported is not None:
            self.imported = dict(imported)

    def tell_resumed(self, imported: Mapping[str, bytes] | None) -> None:
        """Go on with a program that has kept running."""
        self.take_imported(imported)
        self.suspended, self.because = False, ()
        self.giving.resume()
        self._call(self.callbacks.resumed, "resumption")

    def tell_resumed_if_suspended(self, imported: Mapping[str, bytes] | None) -> None:
        """Go on where the resumption happened while nobody could tell."""
        if self.suspended:
            self.tell_resumed(imported)

    def tell_waiting(self, because: tuple[str, ...]) -> None:
        """Stay suspended although the network is back."""
        self.because = because
        log_warning(f"a session with {self.peer} waits: {'; '.join(because)}")

    def tell_denied(self, error: BaseException) -> None:
        """Go on with a program whose handler has returned a continuation that is not taken."""
        denied = self.callbacks.denied
        self._call(denied and (lambda session: denied(session, error)), "continuation")

    def tell_ended(self, code: str, reason: str) -> None:
        """Be a session no more."""
        if self.ended is None:
            self.ended = SessionEndedError(code, reason)
            self.suspended = False
            self.giving.end(self.ended)
            self._call(self.callbacks.ended, "end")

    def _call(self, callback: Callback | None, what: str) -> None:
        if callback is not None:
            outcome = self.runner.run(lambda: callback(self))
            outcome.when_done(lambda: log_failure(outcome, f"what was to be told of a session's {what}"))

    def _finished(self, outcome: Outcome[None]) -> Outcome[None]:
        """Wait where that blocks nobody; elsewhere see to it that a failure is not lost."""
        if isinstance(self.runner, ThreadRunner):
            outcome.result()
        else:
            outcome.when_done(lambda: log_failure(outcome, "a request for a session"))
        return outcome
