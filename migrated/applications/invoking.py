"""Let sessions go on from their continuations: in a program that runs, or in a process that is started."""

from __future__ import annotations

from typing import Final

from migrated.applications.asking import peer_of
from migrated.applications.client import Client
from migrated.applications.exports import Exports
from migrated.applications.holding import Holding
from migrated.applications.keeper import Keeper
from migrated.applications.refusal import RefusedError
from migrated.applications.starter import Starter
from migrated.applications.takers import Takers
from migrated.applications.wire import Descriptors
from migrated.core import Core
from migrated.database import StoreError
from migrated.kernel.holders import find_holders
from migrated.sessions import Condition, ManagedSession
from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import Answer, Granted, Invoke, Waiting
from sessionlayer.continuations.compatibility import check_compatibility
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.values import Kind

ATTEMPTS_MAX: Final = 5
"""How often a process is started that does not take its session up, before the session is given up."""

AGAIN_S: Final = 2.0
"""Seconds between two attempts."""

REST_AGAIN_S: Final = 10.0
"""Seconds after which descriptors that were made again in vain are given up again."""

ALTERED: Final = (
    "its continuation is not what the daemon had stored: somebody changed it, or the host key is another one"
)
"""What a program is told that can't have its session back."""


class Invoker:
    """Gives sessions back to programs.

    Args:
        core: what the daemon's parts share.
        keeper: makes descriptors again.
        takers: who takes sessions up.
        starter: starts processes.
        exports: knows what peers have exported.
    """

    def __init__(
        self, core: Core, keeper: Keeper, takers: Takers, starter: Starter, exports: Exports
    ) -> None:
        self._exports = exports
        self._core = core
        self._keeper = keeper
        self._takers = takers
        self._starter = starter
        self._starting: set[bytes] = set()
        self._started: dict[Client, bytes] = {}
        self._handed_over: dict[bytes, Client] = {}

    def obstacle(self, session: ManagedSession, holding: Holding) -> str:
        """Return why a session can't go on now; if it can, its descriptors are made again, frozen."""
        reason = self._obstacle(session, holding)
        if reason and session.session_id not in self._keeper.altered:
            self._tell_waiting(session, holding, reason)
        return reason

    def _tell_waiting(self, session: ManagedSession, holding: Holding, reason: str) -> None:
        client = self._takers.taker(holding)
        if client is not None and holding.told != (client, reason):
            holding.told = (client, reason)
            client.tell(Waiting(session=session.session_id, because=(reason,)))

    def _obstacle(self, session: ManagedSession, holding: Holding) -> str:
        try:
            required = self._keeper.load(holding).parcel.continuation.compatibility
        except (StoreError, ContinuationError) as error:
            return str(error)
        mismatches = check_compatibility(required, self._takers.offered(holding))
        if mismatches:
            return "incompatible: " + "; ".join(map(str, mismatches))
        if holding.kind is not Kind.COMPLETE and self._takers.taker(holding) is None:
            return f"no program takes it up; start `{holding.program}`"
        if not holding.whole and not holding.remake():
            return holding.failure
        self._exports.carried_before(session, self._keeper.load(holding).parcel.continuation)
        return ""

    def go_on(self, session: ManagedSession, holding: Holding) -> None:
        """Give a session that is live again to a program."""
        holding.made_at = self._core.now()
        self._keeper.own_linger(session, holding)
        try:
            if holding.kind is Kind.COMPLETE:
                self._begin(session, holding)
            else:
                self._invoke(session, holding)
        except OSError as error:  # no descriptor left, say
            self._core.tell_refused(session, f"it can't be given to its program yet: {error}")

    def end_altered(self) -> None:
        """End the sessions that can never go on, as soon as there is a program that hears of it."""
        for session_id in self._keeper.altered:
            session = self._core.sessions.of_id(session_id)
            holding = self._keeper.holdings.of(session_id)
            if session is not None and holding is not None and self._takers.taker(holding) is not None:
                self._core.end(session, ALTERED, tell_peer=True)

    def take(self, client: Client, number: int) -> None:
        """Answer a process that we started, and that asks for its session.

        Raises:
            RefusedError: it is none, or has it already, the session has ended, or no descriptor is left.
        """
        session_id = self._started.get(client, b"")
        session = self._core.sessions.of_id(session_id)
        holding = self._keeper.holdings.of(session_id)
        if session is None or holding is None:
            raise RefusedError("no-connection", "send the connection along, and nothing else")
        answer = Granted(
            number=number,
            session=session_id,
            peer=peer_of(session),
            suspended=session.frozen,
            imported=self._exports.imported(session, client),
            continued=True,
        )
        try:
            self._hand_over(session, holding, client, answer)
        except OSError as error:
            raise RefusedError("busy", f"the continuation can't be handed over: {error}") from error
        if client.open:
            del self._started[client]

    def gone(self, client: Client) -> None:
        """Take in that a program has gone away; one that had not taken its session is started again."""
        session_id = self._started.pop(client, None)
        if session_id is not None:
            self._failed(session_id, "the process ended before it took its session up")

    def check(self) -> None:
        """Try again what was in vain, and let go what programs have by now."""
        now = self._core.now()
        for holding in self._keeper.holdings:
            session = self._core.sessions.of_id(holding.session_id)
            if session is None or not (holding.whole or session.socket.entrusted):
                continue
            if session.condition is Condition.LIVE:
                if now - holding.made_at >= AGAIN_S and not self._under_way(holding):
                    self._again(session, holding)
            elif holding.whole and session.departing is None and now - holding.made_at >= REST_AGAIN_S:
                self._keeper.put_to_rest_again(holding)
        if self._handed_over:
            self._let_go()

    def _again(self, session: ManagedSession, holding: Holding) -> None:
        """Give a live session to a program after the first attempt; that may have been a dead daemon's."""
        if holding.whole or holding.remake():
            self.go_on(session, holding)
        else:
            holding.made_at = self._core.now()
            self._core.tell_refused(session, holding.failure)

    # In a program that runs.

    def _invoke(self, session: ManagedSession, holding: Holding) -> None:
        client = self._takers.taker(holding)
        if client is not None:
            message = Invoke(
                session=session.session_id,
                peer=peer_of(session),
                program=holding.program,
                imported=self._exports.imported(session, client),
            )
            self._hand_over(session, holding, client, message)

    def _hand_over(self, session: ManagedSession, holding: Holding, client: Client, message: Answer) -> None:
        parcel = self._keeper.load(holding).parcel
        with Descriptors([write_memory(parcel.content)]) as memory:
            client.tell(message, (*memory.numbers, *self._keeper.descriptors(session, holding)))
        if not client.open:
            return
        self._handed_over[session.session_id] = client
        session.pid = client.who.pid
        self._keeper.give_back(session, holding)
        self._core.journal.tell(
            "invoked",
            owner=session.uid,
            session=session.short,
            program=session.program,
            kind=holding.kind.value,
            pid=client.who.pid,
        )

    def _let_go(self) -> None:
        """Close our duplicates of those sockets that their programs have, or will never have."""
        given = [(self._core.sessions.of_id(id_), id_, client) for id_, client in self._handed_over.items()]
        held = find_holders(
            [session.socket.inode for session, _, _ in given if session is not None],
            {client.who.pid for _, _, client in given if client.open},
        )
        for session, session_id, client in given:
            if session is not None and client.open:
                holders = held.get(session.socket.inode, ())
                if all(holder.pid != client.who.pid for holder in holders):
                    continue
            del self._handed_over[session_id]
            if session is not None and not session.frozen:
                session.socket.let_go()

    # In a process that is started.

    def _under_way(self, holding: Holding) -> bool:
        return holding.session_id in self._starting or holding.session_id in self._started.values()

    def _begin(self, session: ManagedSession, holding: Holding) -> None:
        if self._under_way(holding):
            return
        session_id = holding.session_id

        def started(client: Client) -> None:
            self._starting.discard(session_id)
            self._started[client] = session_id

        def failed(reason: str) -> None:
            self._starting.discard(session_id)
            self._failed(session_id, reason)

        parcel = self._keeper.load(holding).parcel
        self._keeper.secure(session, holding)
        self._starter.start(parcel, holding.made.numbers, started=started, failed=failed)
        self._starting.add(session_id)

    def _failed(self, session_id: bytes, reason: str) -> None:
        """Take in that a process was started in vain: its session waits, live, for the next attempt."""
        session = self._core.sessions.of_id(session_id)
        holding = self._keeper.holdings.of(session_id)
        if session is None or holding is None:
            return
        holding.attempts += 1
        holding.made_at = self._core.now()
        self._core.turn(session, session.condition, (reason,))
        self._core.tell_refused(session, reason)
        if holding.attempts >= ATTEMPTS_MAX:
            self._core.end(session, f"it can't go on: {reason}", tell_peer=True)
