"""Whether the peer can be reached: heartbeats, silence, suspension and expiry. Times are in seconds."""

from __future__ import annotations

import math

from sessionlayer.protocol.transitions import Machine
from sessionlayer.streams.events import Closed, Effect, Resumed, Silent, Suspended
from sessionlayer.streams.limits import SUSPEND_S
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.transitions import SESSION, SessionEvent, SessionPhase


class Liveness:
    """The clockwork of a session; it starts without a control transport, ``suspended_s`` after the last one.

    Attributes:
        heard_at: when anything was received last, on whatever transport; set by whoever received it.
    """

    def __init__(self, options: StreamOptions, *, client: bool, now: float, suspended_s: float = 0.0) -> None:
        start = SessionPhase.SUSPENDED if suspended_s >= SUSPEND_S else SessionPhase.INTERRUPTED
        self.machine = Machine(SESSION, start)
        self.heard_at = now
        self._options = options
        self._client = client
        self._lost_at = now - suspended_s
        self._beat_at = math.inf
        self._reason = "it was restored" if suspended_s else "it has just begun"

    @property
    def phase(self) -> SessionPhase:
        """Return whether the peer can be reached."""
        return self.machine.state

    def suspended_s(self, now: float) -> float:
        """Return for how long there has been no control transport."""
        return 0.0 if self.phase is SessionPhase.CONNECTED else max(0.0, now - self._lost_at)

    def connected(self, now: float) -> list[Effect]:
        """Note a new control transport."""
        before = self.phase
        self.machine.feed(SessionEvent.CONTROL)
        self.heard_at = now
        self._beat_at = now + self._options.heartbeat_s
        return [Resumed(now - self._lost_at)] if before is SessionPhase.SUSPENDED else []

    def lost(self, reason: str, now: float) -> None:
        """Note that the control transport has died."""
        if self.machine.allows(SessionEvent.LOST):
            self.machine.feed(SessionEvent.LOST)
            self._reason = reason
            self._lost_at = now

    def closed(self) -> bool:
        """Note that the session is over; return whether that is news."""
        if not self.machine.allows(SessionEvent.CLOSE):
            return False
        self.machine.feed(SessionEvent.CLOSE)
        return True

    def next_deadline(self) -> float:
        """Return when ``tick`` is to be called next."""
        match self.phase:
            case SessionPhase.CONNECTED:
                return self._beat_at
            case SessionPhase.INTERRUPTED:
                return min(self._lost_at + SUSPEND_S, self.heard_at + self._options.silence_s)
            case SessionPhase.SUSPENDED:
                return self._lost_at + self._options.expire_s
            case SessionPhase.CLOSED:
                return math.inf

    def tick(self, now: float) -> tuple[list[Effect], bool]:
        """Do what is due; return what follows, and whether a ping is to be sent."""
        if now < self.next_deadline():
            return [], False
        match self.phase:
            case SessionPhase.CONNECTED:
                return self._beat(now)
            case SessionPhase.INTERRUPTED:
                self.machine.feed(SessionEvent.LASTED)
                return [Suspended(self._reason)], False
            case SessionPhase.SUSPENDED:
                self.machine.feed(SessionEvent.EXPIRED)
                days = f"{now - self._lost_at:.0f} s"
                return [Closed("expired", f"the peer could not be reached for {days}")], False
            case SessionPhase.CLOSED:
                return [], False

    def _beat(self, now: float) -> tuple[list[Effect], bool]:
        self._beat_at = now + self._options.heartbeat_s
        silence = now - self.heard_at
        if silence < self._options.silence_s:
            # The last beat before the deadline must not come after it.
            self._beat_at = min(self._beat_at, self.heard_at + self._options.silence_s)
            return [], self._client
        self.machine.feed(SessionEvent.SILENCE)
        self._lost_at = self.heard_at
        self._reason = f"nothing was heard for {silence:.1f} s"
        return [Silent(), Suspended(self._reason)], False
