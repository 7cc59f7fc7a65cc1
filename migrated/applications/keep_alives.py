"""What programs say of their sessions' health: the daemon's part of the paper's application keep-alives.

Programs say it as often as they like. What changes nothing is noted and no more; of the rest the monitors and
the log are told at once, but of one session at most twice a second: a program that is now well, now unwell is
its own affair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from migrated.core import Core
from migrated.sessions import Condition, ManagedSession
from monitors.ages import STEPS_S
from monitors.surroundings import KeepAlive
from sessionlayer.application.messages import HEALTH_REASON_MAX

PAUSE_S: Final = 0.5
"""Seconds between two things that are passed on of one session, at least."""


@dataclass(slots=True)
class _Word:
    """What was said last of a session. ``resting`` is set while it is suspended. Times are in seconds."""

    healthy: bool
    reason: str
    well_at: float
    resting: bool
    logged: bool = True
    passed_on_at: float = -inf


class KeepAlives:
    """What was said last of each session, as long as there is the session.

    While a session is suspended its program can't do anything, so nothing is known of its health; when it
    goes on its age begins anew.

    Args:
        core: what the daemon's parts share.
        changed: called when something has changed that a monitor would report.
    """

    def __init__(self, core: Core, changed: Callable[[], None]) -> None:
        self._core = core
        self._changed = changed
        self._words: dict[bytes, _Word] = {}
        self._late: set[bytes] = set()

    def all(self) -> tuple[KeepAlive, ...]:
        """Return what is known of the sessions that are not suspended; may be called from any thread."""
        return tuple(
            KeepAlive(session=session_id.hex(), healthy=word.healthy, well_at=word.well_at)
            for session_id, word in list(self._words.items())
            if not word.resting
        )

    def say(self, session: ManagedSession, *, healthy: bool, reason: str) -> None:
        """Note what a program, or somebody for it, says of a session.

        Args:
            session: of this host.
            healthy: whether all is well.
            reason: for people; of a long one the beginning is kept.
        """
        now = self._core.now()
        word = self._words.get(session.session_id)
        if word is None:
            resting = session.condition is Condition.SUSPENDED
            word = _Word(healthy, "", well_at=now, resting=resting)
            self._words[session.session_id] = word
            news = True
        else:
            news = word.healthy != healthy or (healthy and now - word.well_at >= STEPS_S[0])
        word.healthy, word.reason = healthy, reason[:HEALTH_REASON_MAX]
        if healthy:
            word.well_at = now
        if news:
            self._pass_on(session, word, now)

    def suspended(self, session: ManagedSession) -> None:
        """Take in that nothing is known of a session's health any more."""
        if (word := self._words.get(session.session_id)) is not None:
            word.resting = True
            self._changed()

    def live(self, session: ManagedSession) -> None:
        """Take in that a session goes on, or that it has moved."""
        word = self._words.get(session.session_id)
        if word is not None and word.resting:
            word.resting, word.well_at = False, self._core.now()
            self._changed()

    def forget(self, session: ManagedSession) -> None:
        """Forget a session that has ended."""
        self._words.pop(session.session_id, None)

    def check(self) -> None:
        """Pass on what had to wait; call it now and then."""
        late, self._late = self._late, set()
        for session_id in late:
            session, word = self._core.sessions.of_id(session_id), self._words.get(session_id)
            if session is not None and word is not None:
                self._pass_on(session, word, self._core.now())

    def _pass_on(self, session: ManagedSession, word: _Word, now: float) -> None:
        if now - word.passed_on_at < PAUSE_S:
            self._late.add(session.session_id)
            return
        word.passed_on_at = now
        self._changed()
        if word.healthy is not word.logged:
            word.logged = word.healthy
            self._core.journal.tell(
                "well" if word.healthy else "unwell",
                owner=session.uid,
                session=session.short,
                program=session.program,
                reason=word.reason,
            )
