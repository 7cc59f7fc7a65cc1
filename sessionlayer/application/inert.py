"""A keeper for connections that nobody keeps, or not yet: the program is the same, and nothing happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sessionlayer.application.errors import RefusedError
from sessionlayer.application.outcome import Outcome
from sessionlayer.continuations.values import Continuation

if TYPE_CHECKING:
    from asyncio import BaseProtocol, StreamReader, StreamWriter, Transport

    from sessionlayer.application.session import Session


class Inert:
    """The `Backend` of a session that is one in name only.

    Attributes:
        closed: whether the program wants no session any more.
    """

    closed = False

    def listen(self, session: Session, *, lazy: bool) -> Outcome[None]:
        """Accept a handler that will not be called."""
        return Outcome.of(None)

    def export(self, session: Session, values: Mapping[str, bytes]) -> Outcome[None]:
        """Accept what nobody will be told."""
        return Outcome.of(None)

    def depend(self, session: Session, parent: Session) -> Outcome[None]:
        """Accept a dependency that will not matter."""
        return Outcome.of(None)

    def give_up(self, session: Session, record: Continuation, descriptors: Sequence[int]) -> Outcome[None]:
        """Refuse: the connection would be lost."""
        return _refused("there is nobody who could keep the session")

    def keep_running(self, session: Session) -> None:
        """Do nothing."""

    def fail(self, session: Session, reason: str) -> None:
        """Do nothing."""

    def report_health(self, session: Session, *, healthy: bool, reason: str) -> bool:
        """Tell nobody."""
        return True

    def freeze(self, session: Session) -> Outcome[None]:
        """Refuse: it is never suspended."""
        return _refused("the session is not suspended")

    def close(self, session: Session) -> Outcome[None]:
        """Be one no more, whatever becomes of the connection."""
        self.closed = True
        return Outcome.of(None)

    async def open(self, session: Session) -> tuple[StreamReader, StreamWriter]:
        """Refuse: its connection never went away."""
        raise _never_suspended()

    async def create_connection(
        self, session: Session, factory: Callable[[], BaseProtocol]
    ) -> tuple[Transport, BaseProtocol]:
        """Refuse: its connection never went away."""
        raise _never_suspended()


def _never_suspended() -> RefusedError:
    return RefusedError("inert", "the session was never suspended; go on with its connection")


def _refused(reason: str) -> Outcome[None]:
    outcome: Outcome[None] = Outcome()
    outcome.fail(RefusedError("inert", reason))
    return outcome
