"""What programs have said of their sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from migrated.applications.client import Client


class Phase(Enum):
    """How far a session's program is with its suspension.

    * ``UNTOLD``: the session is live, or nothing was to be told of its suspension yet.
    * ``UNHEARD``: policy's `ignore` kept the suspension from it; the daemon may still need its continuation.
    * ``ASKED``: its handler was told and has not answered.
    * ``SPARED``: it was told, and nothing is asked of it until the daemon needs its continuation.
    * ``KEEPING``: it runs on and waits with its connection.
    * ``AMISS``: its handler has failed, or takes too long; the connection is still its own.
    """

    UNTOLD = "untold"
    UNHEARD = "unheard"
    ASKED = "asked"
    SPARED = "spared"
    KEEPING = "keeping"
    AMISS = "amiss"


@dataclass(slots=True)
class Attachment:
    """A session's program: who is told of it, and how far it is. ``answer_by`` is in monotonic seconds."""

    client: Client | None = None
    lazy: bool = False
    phase: Phase = Phase.UNTOLD
    answer_by: float = 0.0

    @property
    def listens(self) -> bool:
        """Return whether there is a program with a handler."""
        return self.client is not None and self.client.open

    @property
    def told(self) -> bool:
        """Return whether the program knows that its session is suspended."""
        return self.phase not in (Phase.UNTOLD, Phase.UNHEARD)


@dataclass(slots=True)
class Attachments:
    """The attachments of all sessions that a program has spoken of."""

    _by_session: dict[bytes, Attachment] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[bytes, Attachment]]:
        return iter(tuple(self._by_session.items()))

    def register(self, session_id: bytes, client: Client, *, lazy: bool) -> Attachment:
        """Let a client have the handler of a session, in place of whoever had it."""
        found = self._by_session.setdefault(session_id, Attachment())
        found.client, found.lazy = client, lazy
        return found

    def of(self, session_id: bytes) -> Attachment | None:
        """Return a session's attachment."""
        return self._by_session.get(session_id)

    def answered(self, session_id: bytes) -> None:
        """Take in that nothing more is expected of a session's program."""
        if (found := self._by_session.get(session_id)) is not None:
            found.phase = Phase.UNTOLD

    def resumed(self, session_id: bytes) -> Client | None:
        """Take in that a session goes on; return the program that waits to be told, if there is one."""
        found = self._by_session.get(session_id)
        if found is None:
            return None
        told, found.phase = found.told, Phase.UNTOLD
        return found.client if told else None

    def forget(self, session_id: bytes) -> Attachment | None:
        """Forget a session that has ended; return what there was."""
        return self._by_session.pop(session_id, None)

    def of_client(self, client: Client) -> list[tuple[bytes, Attachment]]:
        """Return the sessions whose handler a client has."""
        return [(session_id, found) for session_id, found in self if found.client is client]
