"""Ended sessions: tell the peer until it acknowledges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sessionlayer.protocol.commands import Command, SendDatagram, SessionReleased
from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.limits import RELEASES_MAX
from sessionlayer.protocol.messages import Release, ReleaseAck, batches
from sessionlayer.protocol.retry import Backoff
from sessionlayer.protocol.session import Session
from sessionlayer.protocol.transitions import SessionEvent
from sessionlayer.protocol.values import Path
from sessionlayer.protocol.wire import Wire


class Releases:
    """The sessions that ended on our side and that the peer may still believe in."""

    def __init__(self, wire: Wire, sessions: dict[bytes, Session]) -> None:
        self._wire = wire
        self._sessions = sessions
        self._untold: dict[bytes, None] = {}
        self._backoff: Backoff | None = None

    def release(self, session_id: bytes, now: float) -> tuple[Command, ...]:
        """End a session; see ``Association.release``."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            raise LocalProtocolError(f"no session `{session_id.hex()}` in this association")
        session.machine.feed(SessionEvent.RELEASE)
        return self._tell(session_id, now)

    def disown(self, session_ids: Iterable[bytes], now: float) -> tuple[Command, ...]:
        """Tell the peer that sessions in which it may believe are none here; those that are ours stay."""
        unknown = [session_id for session_id in session_ids if session_id not in self._sessions]
        return tuple(command for session_id in unknown for command in self._tell(session_id, now))

    def untold(self, session_id: bytes) -> bool:
        """Return whether the peer may still believe in a session that is none here."""
        return session_id in self._untold

    def _tell(self, session_id: bytes, now: float) -> tuple[Command, ...]:
        self._untold[session_id] = None
        if len(self._untold) > RELEASES_MAX:
            del self._untold[next(iter(self._untold))]
        self._backoff = Backoff(now)
        return (self._wire.send(Release(sessions=(session_id,))),)

    def on_release(self, message: Release, path: Path) -> tuple[Command, ...]:
        """End the sessions whose connections ended on the peer's side."""
        ended = [self._sessions.pop(i) for i in message.sessions if i in self._sessions]
        for session in ended:
            session.machine.feed(SessionEvent.RELEASE)
        ack = self._wire.send(ReleaseAck(sessions=message.sessions), path)
        return (*(SessionReleased(session_id=s.session_id) for s in ended), ack)

    def on_ack(self, message: ReleaseAck) -> None:
        """Forget the sessions of which the peer knows now."""
        for session_id in message.sessions:
            self._untold.pop(session_id, None)

    def next_deadline(self) -> float | None:
        """Return when the next repetition is due."""
        return self._backoff.due if self._untold and self._backoff else None

    def handle_timer(self, now: float) -> tuple[Command, ...]:
        """Repeat what was not acknowledged."""
        if not self._untold or self._backoff is None or self._backoff.due > now:
            return ()
        self._backoff.again(now)
        return tuple(self._repeat(self._wire.alternative(self._wire.path, self._backoff.attempt)))

    def _repeat(self, path: Path) -> Iterator[SendDatagram]:
        for group in batches(list(self._untold)):
            yield self._wire.send(Release(sessions=group), path)
