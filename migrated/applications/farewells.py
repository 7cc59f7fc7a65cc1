"""Let continuations that ask for it clean up when their sessions have expired: they go on once more, alone.

Source: the Migrate paper, section IV-C, which leaves this open; `migrated.continuations.collection` decides.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from migrated.applications.asking import peer_of
from migrated.applications.client import Client
from migrated.applications.holding import Holding, Parcel
from migrated.applications.keeper import Keeper
from migrated.applications.starter import Starter
from migrated.applications.takers import Takers
from migrated.applications.wire import Descriptors, duplicates
from migrated.continuations.collection import Farewell, farewell
from migrated.core import Core
from migrated.database import StoreError
from migrated.sessions import ManagedSession
from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import Answer, Ended, Granted, Invoke
from sessionlayer.continuations.errors import ContinuationError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """What a process gets that is started to clean up; ``beside`` is all but the connection."""

    parcel: Parcel
    peer: str
    beside: Descriptors


class Farewells:
    """Says farewell to the programs of sessions that expire.

    Args:
        core: what the daemon's parts share.
        keeper: makes descriptors again.
        takers: who takes sessions up.
        starter: starts processes.
    """

    def __init__(self, core: Core, keeper: Keeper, takers: Takers, starter: Starter) -> None:
        self._core = core
        self._keeper = keeper
        self._takers = takers
        self._starter = starter
        self._waiting: dict[Client, _Last] = {}

    def say(self, session: ManagedSession) -> None:
        """Let a session's continuation clean up, if it wants to; the session is about to end."""
        holding = self._keeper.holdings.of(session.session_id)
        if holding is None:
            return
        try:
            self._say(session, holding)
        except (StoreError, ContinuationError, OSError) as error:
            self._missed(session, str(error))

    def take(self, client: Client, number: int) -> bool:
        """Answer a process that was started to clean up; return whether it is one."""
        last = self._waiting.pop(client, None)
        if last is None:
            return False
        session = last.parcel.session_id
        _send(client, Granted(number=number, session=session, peer=last.peer, continued=True), last)
        client.tell(Ended(session=session, code="expired", reason="the session was suspended for too long"))
        return True

    def gone(self, client: Client) -> None:
        """Forget a process that went away."""
        if (last := self._waiting.pop(client, None)) is not None:
            last.beside.close()

    def _say(self, session: ManagedSession, holding: Holding) -> None:
        parcel = self._keeper.load(holding).parcel
        how = farewell(parcel.continuation)
        if how is Farewell.TELL:
            return
        if not holding.whole and not holding.remake():
            self._missed(session, holding.failure)
            return
        self._keeper.own_linger(session, holding)
        last = _Last(parcel=parcel, peer=peer_of(session), beside=duplicates(holding.made.numbers))
        if how is Farewell.START:
            self._start(session, last)
        elif (client := self._takers.taker(holding)) is not None:
            message = Invoke(
                session=session.session_id, peer=last.peer, program=holding.program, expired=True
            )
            _send(client, message, last)
        else:
            last.beside.close()
            self._missed(session, "no program takes it up")

    def _start(self, session: ManagedSession, last: _Last) -> None:
        def started(client: Client) -> None:
            self._waiting[client] = last

        def failed(reason: str) -> None:
            last.beside.close()
            self._missed(session, reason)

        self._starter.start(last.parcel, last.beside.numbers, started=started, failed=failed)

    def _missed(self, session: ManagedSession, reason: str) -> None:
        self._core.journal.tell(
            "not-cleaned-up",
            level=logging.WARNING,
            owner=session.uid,
            session=session.short,
            program=session.program,
            reason=reason,
        )


def _send(client: Client, message: Answer, last: _Last) -> None:
    with last.beside, Descriptors([write_memory(last.parcel.content)]) as memory:
        client.tell(message, (*memory.numbers, *last.beside.numbers))
