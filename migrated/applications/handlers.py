"""What handlers of suspended sessions are asked, and what becomes of it.

A session whose handler fails, takes too long or goes away stays suspended with its connection, and people
are told.

Source: the Migrate paper, section IV-B.
"""

from __future__ import annotations

import logging
from typing import Final

from migrated.applications.attachments import Attachment, Attachments, Phase
from migrated.applications.client import Client
from migrated.applications.refusal import RefusedError, own_session
from migrated.core import Core
from migrated.sessions import Condition, ManagedSession
from sessionlayer.application.messages import HandlerFailed, KeepRunning, Suspend

ANSWER_S: Final = 10.0
"""Seconds that a handler has for its answer. Its session waits with its connection however long it takes."""

REASON_MAX: Final = 500
"""Characters of a failure that people are told; of a longer one the beginning."""

REASONS_MAX: Final = 8
"""Reasons why a session is suspended: the first ones, and the newest."""


class Handlers:
    """Asks handlers for continuations, and takes in when no continuation comes.

    Args:
        core: what the daemon's parts share.
        attachments: which program has the handler of which session.
    """

    def __init__(self, core: Core, attachments: Attachments) -> None:
        self._core = core
        self._attachments = attachments

    def check(self) -> None:
        """Note which handlers take too long."""
        now = self._core.now()
        for session_id, attachment in self._attachments:
            if attachment.phase is Phase.ASKED and attachment.answer_by <= now:
                session = self._core.sessions.of_id(session_id)
                if session is not None:
                    self._amiss(session, attachment, f"its handler does not answer for {ANSWER_S:g} s")

    def tell_suspended(self, session: ManagedSession, attachment: Attachment) -> None:
        """Ask for a continuation now, unless program or policy says `lazy`; `ignore` keeps back mere news."""
        eager = not attachment.lazy and self._core.engine.eager(session.name)
        if eager or self._core.engine.notifies(session.name):
            self._ask(session, attachment, required=eager)
        else:
            attachment.phase = Phase.UNHEARD

    def demand(self, session: ManagedSession, attachment: Attachment) -> None:
        """Ask for a continuation that is needed now, whatever program and policy say."""
        self._ask(session, attachment, required=True)

    def keeps_running(self, client: Client, request: KeepRunning) -> None:
        """Take in that a program waits with its connection.

        Raises:
            RefusedError: it was not asked, or it is not the one that was.
        """
        _, attachment = self._answering(client, request.session)
        attachment.phase = Phase.KEEPING

    def failed(self, client: Client, request: HandlerFailed) -> None:
        """Take in that a handler has failed.

        Raises:
            RefusedError: it was not asked, or it is not the one that was.
        """
        session, attachment = self._answering(client, request.session)
        self._amiss(session, attachment, f"its handler has failed: {request.reason[:REASON_MAX]}")

    def gone(self, client: Client) -> None:
        """Forget a program that has gone."""
        for session_id, attachment in self._attachments.of_client(client):
            attachment.client = None
            session = self._core.sessions.of_id(session_id)
            if attachment.phase is Phase.ASKED and session is not None:
                self._amiss(session, attachment, "its program went away without an answer")

    def _ask(self, session: ManagedSession, attachment: Attachment, *, required: bool) -> None:
        assert attachment.client is not None
        attachment.phase = Phase.ASKED if required else Phase.SPARED
        attachment.answer_by = self._core.now() + ANSWER_S
        attachment.client.tell(
            Suspend(
                session=session.session_id,
                because=session.because,
                deadline_s=ANSWER_S,
                required=required,
            )
        )

    def _answering(self, client: Client, session_id: bytes) -> tuple[ManagedSession, Attachment]:
        session = own_session(self._core, client.who, session_id)
        attachment = self._attachments.of(session_id)
        if attachment is None or attachment.client is not client:
            raise RefusedError("no-handler", "another program has the handler of this session")
        if not attachment.told:
            raise RefusedError("not-suspended", "the session is not suspended any more")
        return session, attachment

    def _amiss(self, session: ManagedSession, attachment: Attachment, reason: str) -> None:
        """Tell people what is wrong with a program; the session stays suspended, with its connection."""
        attachment.phase = Phase.AMISS
        if reason in session.because:
            return
        if session.condition is Condition.SUSPENDED:
            self._core.turn(session, session.condition, (*session.because[: REASONS_MAX - 1], reason))
        self._core.journal.tell(
            "handler-amiss",
            level=logging.WARNING,
            owner=session.uid,
            session=session.short,
            program=session.program,
            reason=reason,
        )
