"""What the programs at the two ends of a session let each other know (Table I, export).

The association tells it to the peer whenever a session goes on, and holds what has come from there. Programs
are told of that when they are told of the resumption; what is late, or changes, comes to them as `Imported`.

Source: the Migrate paper, section V-A.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from migrated.applications.client import Client
from migrated.applications.refusal import RefusedError, own_session
from migrated.core import Core
from migrated.sessions import ManagedSession
from sessionlayer.application.messages import Export, Granted, Imported
from sessionlayer.continuations.attributes import AttributeStore
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.values import Continuation

WAIT_S: Final = 0.05
"""Seconds for which a program is not told of a resumption because what the peer has announced is on its way.
The peer sends it in the same moment; on paths with a longer round trip it may come as a notice."""


class _Waiting(NamedTuple):
    timer: asyncio.TimerHandle
    go_on: Callable[[], None]


class Exports:
    """The exported attributes of all sessions.

    Args:
        core: what the daemon's parts share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._unsaid: dict[bytes, Mapping[str, bytes]] = {}  # until there is an association
        self._exporting: set[bytes] = set()
        self._audience: defaultdict[bytes, set[Client]] = defaultdict(set)
        self._waiting: dict[bytes, _Waiting] = {}

    def take(self, client: Client, request: Export) -> None:
        """Answer `Export`.

        Raises:
            RefusedError: it is not the program's session, or the attributes break a bound.
        """
        session = own_session(self._core, client.who, request.session)
        try:
            AttributeStore(request.values, request.values)
        except ContinuationError as error:
            raise RefusedError("bad-request", str(error)) from error
        self._export(session, request.values)
        client.tell(Granted(number=request.number))

    def carried(self, session: ManagedSession, continuation: Continuation) -> None:
        """Take in what a continuation exports that its program has returned."""
        if continuation.exported:
            self._export(session, {name: continuation.attributes[name] for name in continuation.exported})

    def carried_before(self, session: ManagedSession, continuation: Continuation) -> None:
        """Take in what a continuation exports that may be older than this daemon, unless more is known."""
        if session.session_id not in self._exporting:
            self.carried(session, continuation)

    def imported(self, session: ManagedSession, client: Client) -> dict[str, bytes] | None:
        """Return what the peer has exported, if it has; this program is told of changes from now on."""
        self._audience[session.session_id].add(client)
        return self._imported(session)

    def announce(self, session: ManagedSession) -> None:
        """Let the association of a session know what is exported, before the session goes on."""
        if session.peer is not None and (values := self._unsaid.pop(session.session_id, None)) is not None:
            session.peer.association.export(session.session_id, values)

    def tell(self, session: ManagedSession, go_on: Callable[[], None]) -> None:
        """Tell the peer, as a session goes on, what is exported of it; let the program go on.

        Args:
            session: live again.
            go_on: called now, or as soon as what the peer has announced is there or late.
        """
        self.hold_back(session.session_id)
        self.announce(session)
        peer = session.peer
        if peer is not None:
            peer.association.tell_exported(session.session_id, self._core.now())
            self._core.perform(peer, ())  # the timer has something to do now
        if peer is None or not peer.association.imports_pending(session.session_id):
            go_on()
            return
        timer = asyncio.get_running_loop().call_later(WAIT_S, self._go_on, session.session_id)
        self._waiting[session.session_id] = _Waiting(timer, go_on)

    def arrived(self, session: ManagedSession) -> None:
        """Tell programs what the peer has exported, and of the resumption if they waited with it."""
        values = self._imported(session)
        assert values is not None
        for client in tuple(self._audience[session.session_id]):
            client.tell(Imported(session=session.session_id, values=values))
        self._go_on(session.session_id)

    def hold_back(self, session_id: bytes) -> None:
        """Tell nobody of a resumption that is over before anybody was told."""
        if (waiting := self._waiting.pop(session_id, None)) is not None:
            waiting.timer.cancel()

    def forget(self, session_id: bytes) -> None:
        """Forget a session that has ended."""
        self.hold_back(session_id)
        self._unsaid.pop(session_id, None)
        self._exporting.discard(session_id)
        self._audience.pop(session_id, None)

    def gone(self, client: Client) -> None:
        """Forget a program that went away."""
        for session_id in [id_ for id_, clients in self._audience.items() if client in clients]:
            self._audience[session_id].discard(client)
            if not self._audience[session_id]:
                del self._audience[session_id]

    def _export(self, session: ManagedSession, values: Mapping[str, bytes]) -> None:
        self._exporting.add(session.session_id)
        self._unsaid[session.session_id] = values
        self.announce(session)

    def _imported(self, session: ManagedSession) -> dict[str, bytes] | None:
        values = session.peer.association.imported(session.session_id) if session.peer is not None else None
        return None if values is None else dict(values)

    def _go_on(self, session_id: bytes) -> None:
        if (waiting := self._waiting.pop(session_id, None)) is not None:
            waiting.timer.cancel()
            waiting.go_on()
