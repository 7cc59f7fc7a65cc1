"""How a session is given up and comes back: the way of a continuation through the library.

1. `Suspend` comes, the handler runs. ``None`` keeps the program running; what it raises is told to the
   daemon.
2. A continuation: what is in the program's memory of the connection is taken along, the connection is taken
   out of the program's hands where that can be done, and the daemon is asked to take over. Between the
   handler's return and this point no other code of an asyncio program runs.
3. Granted: the program's copies are closed; after a complete continuation the process ends.
   Denied: the program is told at once. A complete continuation changes nothing. Another one waits here, with
   its connection, and is gone on with when the session is resumed, because the program's own code for it may
   have ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sessionlayer.application.errors import MigrateError
from sessionlayer.application.functions import find
from sessionlayer.application.grip import Buffered, SocketGrip
from sessionlayer.application.outcome import Outcome
from sessionlayer.application.report import log_error
from sessionlayer.application.runners import end_process, socket_of
from sessionlayer.continuations.attributes import AttributeStore
from sessionlayer.continuations.values import CONNECTION, RESERVED, Kind
from sessionlayer.continuations.values import Continuation as Record

if TYPE_CHECKING:
    from sessionlayer.application.carried import Carried
    from sessionlayer.application.continuation import Continuation
    from sessionlayer.application.session import Session

UNSENT: Final = "migrate:unsent"
UNREAD: Final = "migrate:unread"
"""The attributes that carry what was in the program's memory; see `RESERVED`."""


@dataclass(frozen=True, slots=True)
class Passing:
    """A continuation on its way.

    Attributes:
        continuation: as the program has returned it.
        record: as it is sent.
        taken: the connection, if it was taken out of the program's hands.
        asked: what the backend says.
        told: what the program is told.
    """

    continuation: Continuation
    record: Record
    taken: int | None
    asked: Outcome[None]
    told: Outcome[None]


class Giving:
    """One session's continuations.

    Attributes:
        buffered: what came back with a continuation, until it is read and sent again.
        carried: what came back of a virtual stream, until a server goes on with it.
        told: what came of the last continuation that was given, once what it names is closed.
    """

    def __init__(self, session: Session) -> None:
        self.buffered = Buffered()
        self.carried: Carried | None = None
        self.told: Outcome[None] = Outcome()
        self._session = session
        self._handling = False
        self._urgent = False
        self._kept: Record | None = None
        self._busy = threading.Lock()
        self._asking = threading.RLock()
        self._passing: Passing | None = None
        self._resumed: Outcome[Any] | None = None

    # --- suspension ---

    def suspend(self, because: tuple[str, ...], *, required: bool) -> None:
        """Ask the handler for a continuation, unless it is at it."""
        session = self._session
        session.suspended, session.because = True, because
        if self._handling:
            self._urgent = self._urgent or required
            return
        handler = session.callbacks.handler
        if not required:
            return  # the daemon expects no answer yet
        if handler is None or self._kept is not None:
            session.backend.keep_running(session)
            return
        self._handling = True
        outcome = session.runner.run(lambda: handler(session))
        outcome.when_done(lambda: self._handled(outcome))

    def _handled(self, outcome: Outcome[Any]) -> None:
        self._handling = False
        if outcome.error is not None:
            self._failed(outcome.error)
        elif outcome.result() is None:
            self._keep_running()
        else:
            self._give(outcome.result())

    def _keep_running(self) -> None:
        session = self._session
        session.backend.keep_running(session)
        if self._urgent:
            self._urgent = False
            self.suspend(session.because, required=True)

    def _give(self, continuation: Continuation) -> None:
        try:
            outcome = self.give(continuation)
        except Exception as error:  # noqa: BLE001 - what the handler returned is a plugin's
            self._failed(error)
            self._session.tell_denied(error)
            return
        outcome.when_done(lambda: self._given(outcome))

    def _failed(self, error: BaseException) -> None:
        log_error("the handler of a suspended session", error)
        self._session.backend.fail(self._session, f"{type(error).__name__}: {error}")

    def _given(self, outcome: Outcome[None]) -> None:
        if outcome.error is not None:
            log_error("giving up a session", outcome.error)
            self._session.tell_denied(outcome.error)

    # --- giving up ---

    def give(self, continuation: Continuation) -> Outcome[None]:
        """Ask for the session to be taken over; a complete continuation that is granted does not return.

        Raises:
            MigrateError: it was given up before, or what is in memory can't be taken along.
            ContinuationError: the continuation breaks a bound.
            OSError: there is no memory or no descriptor left.
        """
        if not self._busy.acquire(blocking=False):
            raise MigrateError("the session is given up already")
        try:
            if self._session.connection is None:
                raise MigrateError("the session has been given up already")
            if continuation.kind is Kind.COMPLETE:
                self._end(continuation)
            return self._pass_on(continuation)
        except BaseException:
            self._busy.release()
            raise

    def _end(self, continuation: Continuation) -> NoReturn:
        """Give the session up together with this process."""
        session = self._session
        record = self._record(continuation, session.grip.buffered())
        descriptors = (session.grip.descriptor(), *continuation.numbers())
        # No other code of the program may run until the answer is there, and so a loop stands still.
        session.backend.give_up(session, record, descriptors).result()
        end_process()

    def _pass_on(self, continuation: Continuation) -> Outcome[None]:
        """Give the session up; this process lives on."""
        session = self._session
        record = self._record(continuation, session.grip.buffered())
        numbers = continuation.numbers()
        taken = session.grip.detach()
        first = session.grip.descriptor() if taken is None else taken
        self.told = Outcome()  # before anybody is asked: who goes on soon can wait for it
        try:
            with self._asking:  # the session may come back at once, and then has to know what is to be closed
                asked = session.backend.give_up(session, record, (first, *numbers))
                passing = self._passing = Passing(continuation, record, taken, asked, self.told)
        except BaseException:
            self._keep(record, taken)
            raise
        asked.when_done(lambda: session.runner.call(self.settle))
        return passing.told

    def settle(self) -> None:
        """Close what was given up, or keep it: once, when the answer is known and before going on."""
        with self._asking:
            passing = self._passing
            if passing is None or not passing.asked.done:
                return
            self._passing = None
        if passing.asked.error is None:
            self._drop(passing)
            self._busy.release()
            passing.told.finish(None)
        else:
            self._keep(passing.record, passing.taken)
            self._busy.release()
            passing.told.fail(passing.asked.error)

    def _record(self, continuation: Continuation, buffered: Buffered) -> Record:
        session = self._session
        memory = {UNSENT: buffered.unsent, UNREAD: buffered.unread}
        return Record(
            descriptors=(CONNECTION, *continuation.descriptors),
            attributes={
                **session.attributes.attributes,
                **{name: data for name, data in memory.items() if data},
            },
            exported=session.attributes.exported,
            function=continuation.function,
            process=continuation.process,
            compatibility=session.compatibility
            if continuation.compatibility is None
            else continuation.compatibility,
            on_expiry=continuation.on_expiry,
        )

    def _drop(self, passing: Passing) -> None:
        session = self._session
        session.grip.drop()
        if passing.taken is not None:
            os.close(passing.taken)
        for item in passing.continuation.descriptors.values():
            SocketGrip(item).drop()
        session.hold(None, SocketGrip(-1))

    def _keep(self, record: Record, taken: int | None) -> None:
        """Let a connection that was taken out of the program's hands wait here, with its continuation."""
        if taken is None:
            return
        connection = socket_of(taken)
        self._session.hold(connection, SocketGrip(connection))
        self.buffered = buffered_of(record)
        self._kept = record
        if not self._session.suspended:
            self.resume()

    # --- resumption ---

    @property
    def awaited(self) -> bool:
        """Return whether somebody waits for the connection."""
        return self._resumed is not None

    def resumed(self) -> Outcome[Any]:
        """Return an outcome of the connection, once the session goes on."""
        session = self._session
        if session.ended is not None:
            outcome: Outcome[Any] = Outcome()
            outcome.fail(session.ended)
            return outcome
        if not session.suspended:
            return Outcome.of(session.connection)
        self._resumed = self._resumed or Outcome()
        return self._resumed

    def resume(self) -> None:
        """Go on with what waits here: whoever awaits `resumed`, or a continuation that was not taken."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self.go_on(kept)
        else:
            self._wake()

    def invoke(self, record: Record, connection: int, handler: Callable[..., Any] | None = None) -> None:
        """Go on from a continuation that has been restored.

        Args:
            record: the continuation.
            connection: the descriptor of the connection, ours.
            handler: that takes it up instead of the function that the record names.
        """
        session = self._session
        self.settle()
        found = socket_of(connection)
        session.hold(found, SocketGrip(found))
        self.go_on(record, handler)

    def restore(self, record: Record, descriptors: tuple[int, ...]) -> None:
        """Take the attributes and descriptors of a continuation."""
        session = self._session
        own = {name: value for name, value in record.attributes.items() if not name.startswith(RESERVED)}
        session.continued = True
        session.attributes = AttributeStore(own, record.exported)
        session.compatibility = record.compatibility
        names = (name for name in record.descriptors if name != CONNECTION)
        session.descriptors = dict(zip(names, descriptors, strict=True))
        self.buffered = buffered_of(record)

    def end(self, error: BaseException) -> None:
        """Tell whoever waits that there is nothing to come."""
        waiting, self._resumed = self._resumed, None
        if waiting is not None:
            waiting.fail(error)

    def go_on(self, record: Record, handler: Callable[..., Any] | None = None) -> None:
        """Let the handler go on, or the function that the record names, or whoever awaits `resumed`."""
        session = self._session
        session.suspended, session.because = False, ()
        function = handler or (find(record.function) if record.function else None)
        if function is not None:
            session.runner.invoke(function, session)
        elif record.function:
            reason = f"this program has no function `{record.function}`"
            log_error("going on with a session", LookupError(reason))
            session.backend.fail(session, reason)
        else:
            self._wake()

    def _wake(self) -> None:
        waiting, self._resumed = self._resumed, None
        if waiting is not None:
            waiting.finish(self._session.connection)


def buffered_of(record: Record) -> Buffered:
    """Return what was in the memory of the program that made a continuation."""
    return Buffered(record.attributes.get(UNSENT, b""), record.attributes.get(UNREAD, b""))
