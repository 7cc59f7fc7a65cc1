"""The daemon's service for programs: takes what they ask for, and tells them of their sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import assert_never

from migrated.applications.asking import Asking
from migrated.applications.attachments import Attachments
from migrated.applications.client import Client
from migrated.applications.demands import Demands
from migrated.applications.dependents import Dependents
from migrated.applications.exports import Exports
from migrated.applications.farewells import Farewells
from migrated.applications.handlers import Handlers
from migrated.applications.holding import Holding
from migrated.applications.invoking import Invoker
from migrated.applications.keep_alives import KeepAlives
from migrated.applications.keeper import Keeper
from migrated.applications.lifetimes import Lifetimes
from migrated.applications.refusal import RefusedError, check_owner, own_session
from migrated.applications.returning import Returning
from migrated.applications.server import ApplicationServer
from migrated.applications.starter import Starter
from migrated.applications.streams import StreamSessions
from migrated.applications.takers import Takers
from migrated.applications.wire import Descriptors
from migrated.continuations.store import ContinuationStore
from migrated.core import Core
from migrated.custody import SOCKET_NAME as CUSTODY
from migrated.custody import Custody
from migrated.resources import Resources
from migrated.sessions import Condition, ManagedSession, Released
from migrated.store import StoredSession
from sessionlayer.application.messages import (
    CloseSession,
    CreateSession,
    Denied,
    DependOn,
    Ended,
    Export,
    Freeze,
    GetSession,
    Granted,
    HandlerFailed,
    KeepAlive,
    KeepRunning,
    RegisterAttachHandler,
    RegisterCompatibility,
    RegisterHandler,
    Request,
    Resume,
    ReturnContinuation,
)
from sessionlayer.continuations.values import Continuation


class Applications:
    """What programs are told, and what they may ask for; the daemon's `Programs`.

    Args:
        core: what the daemon's parts share.
        path: of the application socket.
        want: called with the inode of a socket that a program wants to be a session.
        expected: says of an inode whether it is about to be a session again after a restart.
        store: the continuations on disk.
        resources: what knows descriptors.
        health_changed: called when a program says something of its health that a monitor would report.

    Attributes:
        keep_alives: what programs say of their sessions' health.
    """

    def __init__(
        self,
        core: Core,
        path: Path,
        want: Callable[[int], None],
        *,
        expected: Callable[[int], bool],
        store: ContinuationStore,
        resources: Resources,
        health_changed: Callable[[], None],
    ) -> None:
        self._core = core
        self.keep_alives = KeepAlives(core, health_changed)
        self._server = ApplicationServer(path, self._on_request, self._on_gone)
        self._exports = Exports(core)
        self._asking = Asking(core, want, expected, self._exports)
        self._attachments = Attachments()
        self._handlers = Handlers(core, self._attachments)
        self._demands = Demands(core, self._attachments, self._handlers.demand)
        self._dependents = Dependents(core)
        self._takers = Takers(store.vectors)
        self._custody = Custody(path.with_name(CUSTODY), self._not_safe)
        self._keeper = Keeper(core, store, resources, self._custody)
        starter = Starter(self._server.admit)
        self._farewells = Farewells(core, self._keeper, self._takers, starter)
        self._lifetimes = Lifetimes(core, self._keeper, self._farewells)
        self._returning = Returning(
            core, self._keeper, expires_at=self._lifetimes.expires_at, granted=self._given_up
        )
        self._invoker = Invoker(core, self._keeper, self._takers, starter, self._exports)
        self._streams = StreamSessions(core, self._keeper, self._takers, starter)

    def start(self, stored: Iterable[StoredSession], *, guarded: bool = True) -> None:
        """Open the application socket.

        Args:
            stored: the sessions that the daemon may take up again.
            guarded: whether the kernel is to keep silent for connections that are on disk.

        Raises:
            ControlError: it can't be had.
        """
        self._keeper.reconcile(stored, claim=self._streams.claim, guarded=guarded)
        self._server.start()

    async def stop(self) -> None:
        """Have what is asked for lazily on disk before the daemon ends, as far as programs answer soon."""
        await self._demands.finish()

    def close(self) -> None:
        """Close the application socket; programs go on by themselves."""
        self._streams.close()
        self._server.close()
        self._custody.close()

    def check(self) -> None:
        """Do what is due; call it now and then."""
        self._handlers.check()
        self._demands.check()
        self._custody.check()
        self._invoker.check()
        self._invoker.end_altered()
        self._lifetimes.check()
        self._streams.check()
        self.keep_alives.check()

    def _not_safe(self, reason: str) -> None:
        self._core.journal.tell("custody", level=logging.WARNING, reason=reason)

    def expire(self, session_id: bytes, reason: str) -> None:
        """Give a suspended session up now, as if its time had come."""
        if not self._streams.expire(session_id, reason):
            self._lifetimes.expire(session_id, reason)

    # What the rest of the daemon tells.

    def obstacle(self, session: ManagedSession, together: Collection[bytes]) -> str:
        """Return why a suspended session can't go on now, or nothing."""
        if reason := self._dependents.obstacle(session, together):
            return reason
        self._exports.announce(session)
        holding = self._keeper.holdings.of(session.session_id)
        return "" if holding is None else self._invoker.obstacle(session, holding)

    def wants(self, session: ManagedSession) -> bool:
        """Return whether a program wants to be told when the session's peer is silent."""
        return (found := self._attachments.of(session.session_id)) is not None and found.listens

    def stored(self, session_id: bytes) -> Released | None:
        """Return the connection of a session that was released before the daemon started."""
        return self._keeper.stored(session_id)

    def adopted(self, session: ManagedSession) -> None:
        """Answer those who wait for the session."""
        self._asking.adopted(session)
        if session.socket.released is None:
            self._keeper.taken_up_before(session)
        if session.frozen:
            self._lifetimes.restored(session)

    def suspended(self, session: ManagedSession) -> None:
        """Tell the session's program, if it has a handler."""
        self._exports.hold_back(session.session_id)
        self.keep_alives.suspended(session)
        self._lifetimes.suspended(session)
        self._dependents.suspend(session)
        attachment = self._attachments.of(session.session_id)
        if attachment is not None and attachment.listens:
            self._handlers.tell_suspended(session, attachment)

    def live(self, session: ManagedSession) -> None:
        """Give the session to a program, or tell the one that has waited that its session goes on."""
        self._lifetimes.over(session)
        self.keep_alives.live(session)
        self._dependents.resume(session)
        self._exports.tell(session, lambda: self._go_on(session))

    def imported(self, session: ManagedSession) -> None:
        """Take in that what the peer has exported has arrived."""
        self._exports.arrived(session)

    def _go_on(self, session: ManagedSession) -> None:
        if (holding := self._keeper.holdings.of(session.session_id)) is not None:
            self._invoker.go_on(session, holding)
            return
        if (client := self._attachments.resumed(session.session_id)) is not None:
            imported = self._exports.imported(session, client)
            client.tell(Resume(session=session.session_id, imported=imported))

    def ended(self, session: ManagedSession, code: str, reason: str) -> None:
        """Tell the session's program that it is one no more."""
        self._lifetimes.over(session)
        self.keep_alives.forget(session)
        self._dependents.forget(session)
        self._exports.forget(session.session_id)
        attachment = self._attachments.forget(session.session_id)
        client = attachment.client if attachment is not None else self._loser(session, code)
        self._keeper.drop(session.session_id)
        if client is not None:
            client.tell(Ended(session=session.session_id, code=code, reason=reason))

    def _loser(self, session: ManagedSession, code: str) -> Client | None:
        """Return who would have taken up a session that is lost, and has no handler."""
        holding = self._keeper.holdings.of(session.session_id) if code == "lost" else None
        return None if holding is None else self._takers.taker(holding)

    def reported(self, session: ManagedSession, *, healthy: bool, reason: str) -> None:
        """Take in what is said of a session's health in its program's place."""
        self.keep_alives.say(session, healthy=healthy, reason=reason)

    # What programs ask for.

    def _on_request(self, client: Client, request: Request, descriptors: Descriptors) -> None:
        try:
            self._dispatch(client, request, descriptors)
        except RefusedError as error:
            number = 0 if isinstance(request, KeepRunning | HandlerFailed | KeepAlive) else request.number
            client.tell(Denied(number=number, code=error.code, reason=error.reason))

    def _dispatch(self, client: Client, request: Request, descriptors: Descriptors) -> None:
        match request:
            case CreateSession():
                self._streams.create(client, request)
            case ReturnContinuation() if self._streams.has(client, request.session):
                self._streams.give_up(client, request, descriptors)
            case ReturnContinuation():
                self._returning.take(client, request, descriptors)
            case DependOn():
                self._depend_on(client, request)
            case RegisterAttachHandler():
                self._takers.register(client, request.program)
                client.tell(Granted(number=request.number))
                self._retry(lambda holding: holding.program == request.program)
            case RegisterCompatibility():
                self._takers.offer(client, request.program, request.tags)
                client.tell(Granted(number=request.number))
                self._retry(lambda holding: holding.program == request.program)
            case GetSession():
                self._get_session(client, request, descriptors)
            case RegisterHandler():
                self._register(client, request)
            case KeepRunning():
                self._handlers.keeps_running(client, request)
            case HandlerFailed():
                self._handlers.failed(client, request)
            case KeepAlive():
                session = own_session(self._core, client.who, request.session)
                self.reported(session, healthy=request.healthy, reason=request.reason)
            case Freeze():
                self._freeze(client, request)
            case CloseSession():
                self._close_session(client, request)
            case Export():
                self._exports.take(client, request)
            case _:
                assert_never(request)

    def _get_session(self, client: Client, request: GetSession, descriptors: Descriptors) -> None:
        if len(descriptors) != 1:
            if not (
                self._farewells.take(client, request.number) or self._streams.take(client, request.number)
            ):
                self._invoker.take(client, request.number)
            return
        self._asking.ask(client, request, descriptors.numbers[0])

    def _register(self, client: Client, request: RegisterHandler) -> None:
        if (holding := self._keeper.holdings.of(request.session)) is not None:
            self._register_again(client, request, holding)
            return
        session = own_session(self._core, client.who, request.session)
        attachment = self._attachments.register(session.session_id, client, lazy=request.lazy)
        client.tell(Granted(number=request.number))
        if session.condition is Condition.SUSPENDED:
            self._handlers.tell_suspended(session, attachment)

    def _register_again(self, client: Client, request: RegisterHandler, holding: Holding) -> None:
        """Know the program of a session again that it has given up; the daemon was started anew meanwhile.

        The session itself may not have been taken up again yet.
        """
        check_owner(client.who, holding.uid)
        self._attachments.register(request.session, client, lazy=request.lazy)
        holding.client = client
        client.tell(Granted(number=request.number))
        self._retry(lambda other: other is holding)

    def _depend_on(self, client: Client, request: DependOn) -> None:
        child = own_session(self._core, client.who, request.session)
        self._dependents.add(child, own_session(self._core, client.who, request.parent))
        client.tell(Granted(number=request.number))

    def _retry(self, concerned: Callable[[Holding], bool]) -> None:
        """Have the engine decide again on suspended sessions for which something has changed here."""
        for holding in self._keeper.holdings:
            session = self._core.sessions.of_id(holding.session_id)
            if session is not None and session.frozen and session.departing is None and concerned(holding):
                self._core.engine.session_suspended(session.name, self._core.now())

    def _freeze(self, client: Client, request: Freeze) -> None:
        session = own_session(self._core, client.who, request.session)
        if session.condition is not Condition.SUSPENDED:
            raise RefusedError("not-suspended", "the session is not suspended, so it has no continuation")
        attachment = self._attachments.of(session.session_id)
        if attachment is None or not attachment.listens:
            raise RefusedError("no-handler", "no program with a handler for the session is running")
        self._handlers.demand(session, attachment)
        client.tell(Granted(number=request.number))

    def _close_session(self, client: Client, request: CloseSession) -> None:
        session = own_session(self._core, client.who, request.session)
        self._core.end(session, "its program has closed it", tell_peer=True, code="closed")
        client.tell(Granted(number=request.number))

    def _given_up(self, session: ManagedSession, continuation: Continuation) -> None:
        self._attachments.answered(session.session_id)
        self._exports.carried(session, continuation)
        self.keep_alives.forget(session)  # who goes on begins anew

    def _on_gone(self, client: Client) -> None:
        self._asking.gone(client)
        self._exports.gone(client)
        self._takers.gone(client)
        self._invoker.gone(client)
        self._farewells.gone(client)
        self._streams.gone(client)
        self._handlers.gone(client)
