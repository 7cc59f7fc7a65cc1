"""What a program says of its session's health: told at once if it is news, and now and then if it is not."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Final

from sessionlayer.application.messages import HEALTH_REASON_MAX

if TYPE_CHECKING:
    from sessionlayer.application.session import Session

PAUSE_S: Final = 0.25
"""Seconds within which the same is not told again: a program may say it with every packet."""


class Health:
    """The health of one session. It may be spoken of in any thread; nothing waits, and nothing is raised.

    Args:
        session: of which it is said.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._said: tuple[bool, str] | None = None
        self._told: bool | None = None
        self._told_at = -inf

    def say(self, *, healthy: bool, reason: str) -> None:
        """Tell the daemon, unless it has just been told the same."""
        self._said = healthy, reason
        now = time.monotonic()
        if healthy is not self._told or now - self._told_at >= PAUSE_S:
            self._tell(now)

    def say_again(self) -> None:
        """Tell a daemon that knows nothing yet what was said last, if anything was."""
        self._tell(time.monotonic())

    def _tell(self, now: float) -> None:
        if self._said is None or self._session.ended is not None:
            return
        healthy, reason = self._said
        if self._session.backend.report_health(
            self._session, healthy=healthy, reason=reason[:HEALTH_REASON_MAX]
        ):
            self._told, self._told_at = healthy, now
