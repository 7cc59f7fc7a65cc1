"""Give suspended sessions up when policy says so, and tell their programs."""

from __future__ import annotations

import time

from migrated.applications.farewells import Farewells
from migrated.applications.keeper import Keeper
from migrated.continuations.expiry import Expiries, expire_s
from migrated.core import Core
from migrated.sessions import ManagedSession


class Lifetimes:
    """Knows until when suspended sessions are kept, in seconds since the epoch.

    The wall clock counts, because sessions are kept while the host is off, too.
    """

    def __init__(self, core: Core, keeper: Keeper, farewells: Farewells) -> None:
        self._core = core
        self._keeper = keeper
        self._farewells = farewells
        self._expiries = Expiries()

    def expires_at(self, session: ManagedSession) -> float | None:
        """Return until when a suspended session is kept; ``None`` for ever."""
        after_s = expire_s(self._core.engine.expire_rules(session.name))
        return None if after_s is None else session.since + after_s

    def suspended(self, session: ManagedSession) -> None:
        """Take in that a session is suspended."""
        self._expiries.set(session.session_id, self.expires_at(session))

    def restored(self, session: ManagedSession) -> None:
        """Take in that a session was suspended before the daemon started."""
        stored = self._keeper.entry(session.session_id)
        self._expiries.set(
            session.session_id, self.expires_at(session) if stored is None else stored.expires_at
        )

    def over(self, session: ManagedSession) -> None:
        """Take in that a session is suspended no more."""
        self._expiries.forget(session.session_id)

    def check(self) -> None:
        """End the sessions whose time has come."""
        for session_id in self._expiries.expired(time.time()):
            self.expire(session_id, "it was suspended for longer than the policy's `expire` allows")

    def expire(self, session_id: bytes, reason: str) -> None:
        """Give a suspended session up; one that is not suspended, or has ended, is left alone."""
        session = self._core.sessions.of_id(session_id)
        if session is None or not session.frozen:
            return
        self._farewells.say(session)
        if self._core.sessions.of_id(session_id) is session:  # making its descriptors again may show it lost
            self._core.end(session, reason, tell_peer=True, code="expired")
