"""The seam between a session and what keeps it: the local daemon, or a virtual stream of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from sessionlayer.application.outcome import Outcome
from sessionlayer.continuations.values import Continuation

if TYPE_CHECKING:
    from asyncio import BaseProtocol, StreamReader, StreamWriter, Transport

    from sessionlayer.application.session import Session


class Backend(Protocol):
    """Keeps sessions. No call waits; each is made in the program's context."""

    def listen(self, session: Session, *, lazy: bool) -> Outcome[None]:
        """Tell the session of its suspensions from now on."""

    def export(self, session: Session, values: Mapping[str, bytes]) -> Outcome[None]:
        """Tell the peer these attributes at the next resumption."""

    def depend(self, session: Session, parent: Session) -> Outcome[None]:
        """Let the session suspend and resume with its parent."""

    def give_up(self, session: Session, record: Continuation, descriptors: Sequence[int]) -> Outcome[None]:
        """Take a continuation over. The first descriptor is the connection; they remain the caller's."""

    def keep_running(self, session: Session) -> None:
        """Know that the program waits, with its connection, for the session to be resumed."""

    def fail(self, session: Session, reason: str) -> None:
        """Know that the program can't go on with what it was told, and why."""

    def report_health(self, session: Session, *, healthy: bool, reason: str) -> bool:
        """Know how the session is, if that can be told at once; return whether it can."""

    def freeze(self, session: Session) -> Outcome[None]:
        """Have the session's handler asked again, and with more urgency."""

    def close(self, session: Session) -> Outcome[None]:
        """Forget the session; its connection is left to the program."""

    async def open(self, session: Session) -> tuple[StreamReader, StreamWriter]:
        """Return a reader and a writer of a connection that has come back, and let the session hold them."""

    async def create_connection(
        self, session: Session, factory: Callable[[], BaseProtocol]
    ) -> tuple[Transport, BaseProtocol]:
        """Return a transport and a new protocol of a connection that has come back; the session holds it."""
