"""Sessions that suspend and resume with others."""

from __future__ import annotations

from collections.abc import Collection

from migrated import hands
from migrated.applications.refusal import RefusedError
from migrated.core import Core
from migrated.kernel.errors import RebindError
from migrated.sessions import Condition, ManagedSession
from sessionlayer.continuations.dependencies import Dependencies
from sessionlayer.continuations.errors import ContinuationError


class Dependents:
    """Carries suspension and resumption from parents to children, and never back.

    Source: the Migrate paper, section IV-D.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._dependencies = Dependencies()

    def add(self, child: ManagedSession, parent: ManagedSession) -> None:
        """Let ``child`` suspend and resume with ``parent``.

        Raises:
            RefusedError: it would depend on itself, or on too many.
        """
        try:
            self._dependencies.add(child.session_id, parent.session_id)
        except ContinuationError as error:
            raise RefusedError("cycle", str(error)) from error
        if parent.condition is Condition.SUSPENDED:
            self.suspend(parent)

    def suspend(self, parent: ManagedSession) -> None:
        """Suspend all that depends on a session, every child before its parents."""
        because = f"session {parent.short}, which it depends on, is suspended"
        for session_id in self._dependencies.suspension([parent.session_id]):
            child = self._core.sessions.of_id(session_id)
            if child is None or child is parent or child.condition is Condition.SUSPENDED:
                continue
            try:
                if not child.frozen:
                    hands.park(child, hands.locate_one(child))
            except RebindError as error:
                self._core.tell_refused(child, str(error))
            else:
                self._core.suspend(child, (because,))

    def resume(self, parent: ManagedSession) -> None:
        """Let those go on that waited for a session alone."""
        for session_id in self._dependencies.children(parent.session_id):
            child = self._core.sessions.of_id(session_id)
            if child is not None and child.frozen and child.departing is None:
                self._core.engine.session_suspended(child.name, self._core.now())

    def obstacle(self, session: ManagedSession, together: Collection[bytes]) -> str:
        """Return why a session has to wait, or nothing.

        Args:
            session: suspended.
            together: the ids of the sessions that are about to go on with it.
        """
        for session_id in self._dependencies.parents(session.session_id):
            parent = self._core.sessions.of_id(session_id)
            if parent is not None and parent.frozen and session_id not in together:
                return f"session {parent.short}, which it depends on, is suspended"
        return ""

    def forget(self, session: ManagedSession) -> None:
        """Forget a session that has ended; its children depend on it no more."""
        self.resume(session)
        self._dependencies.forget(session.session_id)
