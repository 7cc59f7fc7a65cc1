"""Continuations that programs return: judged one by one, and taken over together."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from migrated.applications.client import Client
from migrated.applications.holding import Parcel
from migrated.applications.judging import (
    check_file_systems,
    check_process,
    decoded_continuation,
    read_content,
)
from migrated.applications.keeper import Keeper
from migrated.applications.refusal import RefusedError, own_session
from migrated.applications.wire import Descriptors
from migrated.core import Core
from migrated.sessions import Condition, ManagedSession
from sessionlayer.application.messages import Denied, Granted, ReturnContinuation
from sessionlayer.continuations.limits import NAME_MAX
from sessionlayer.continuations.values import CONNECTION, Continuation

WAITING_MAX: Final = 64 * 1024 * 1024
"""Bytes of continuations that wait for the disk together; with more they do not wait for the turn's end."""


@dataclass(frozen=True, slots=True)
class _Return:
    client: Client
    number: int
    parcel: Parcel


class Returning:
    """Answers `ReturnContinuation`.

    Programs that share a link lose it together. So what comes in one turn of the loop goes on disk at once.

    Args:
        core: what the daemon's parts share.
        keeper: puts sessions to rest.
        expires_at: returns until when a session is kept, in seconds since the epoch, or ``None`` for ever.
        granted: called with a session that is the daemon's now, and its continuation.
    """

    def __init__(
        self,
        core: Core,
        keeper: Keeper,
        *,
        expires_at: Callable[[ManagedSession], float | None],
        granted: Callable[[ManagedSession, Continuation], None],
    ) -> None:
        self._core = core
        self._keeper = keeper
        self._expires_at = expires_at
        self._granted = granted
        self._waiting: dict[bytes, _Return] = {}
        self._waiting_bytes = 0

    def take(self, client: Client, request: ReturnContinuation, descriptors: Descriptors) -> None:
        """Take a continuation in; the answer follows soon.

        Raises:
            RefusedError: it can't be taken; everything is as before.
        """
        session = own_session(self._core, client.who, request.session)
        self._check_suspended(session)
        if session.session_id in self._waiting:
            raise _returned_already()
        if not len(descriptors):
            raise RefusedError("bad-request", "send the continuation's memory file along")
        if len(request.program) > NAME_MAX:
            raise RefusedError("bad-request", f"a program's name has at most {NAME_MAX} characters")
        content = read_content(descriptors.numbers[0])
        descriptors.take_first().close()
        continuation = decoded_continuation(content)
        _check_descriptors(continuation, descriptors, session)
        check_file_systems(continuation, descriptors, client)
        check_process(continuation, client, session.uid)
        parcel = Parcel(
            session_id=session.session_id,
            uid=session.uid,
            pid=client.who.pid,
            program=request.program or session.program,
            client=client,
            continuation=continuation,
            content=content,
            descriptors=descriptors.take(),
            expires_at=self._expires_at(session),
        )
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._settle)
        self._waiting[session.session_id] = _Return(client, request.number, parcel)
        self._waiting_bytes += len(content)
        if self._waiting_bytes >= WAITING_MAX:
            self._settle()

    def _settle(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        ready: dict[bytes, _Return] = {}
        for returned in waiting.values():
            try:
                self._check_again(returned)
            except RefusedError as error:
                _deny(returned, error)
            else:
                ready[returned.parcel.session_id] = returned
        refused = self._keeper.put_to_rest([returned.parcel for returned in ready.values()])
        for session_id, returned in ready.items():
            if session_id in refused:
                self._refuse(returned, refused[session_id])
            else:
                self._grant(returned)

    def _check_again(self, returned: _Return) -> None:
        self._check_suspended(own_session(self._core, returned.client.who, returned.parcel.session_id))

    def _check_suspended(self, session: ManagedSession) -> None:
        if self._keeper.holdings.of(session.session_id) is not None:
            raise _returned_already()
        if session.condition is not Condition.SUSPENDED or not session.frozen or session.departing:
            raise RefusedError(
                "not-suspended", "the session is not suspended, or about to go on; go on with the connection"
            )

    def _grant(self, returned: _Return) -> None:
        parcel = returned.parcel
        session = self._core.sessions.of_id(parcel.session_id)
        assert session is not None
        self._granted(session, parcel.continuation)
        returned.client.tell(Granted(number=returned.number, session=parcel.session_id, suspended=True))
        self._core.journal.tell(
            "given-up",
            owner=session.uid,
            session=session.short,
            program=session.program,
            kind=parcel.continuation.kind.value,
            bytes=len(parcel.content),
        )

    def _refuse(self, returned: _Return, error: RefusedError) -> None:
        session = self._core.sessions.of_id(returned.parcel.session_id)
        if session is not None:
            self._core.journal.tell(
                "not-given-up",
                level=logging.WARNING,
                owner=session.uid,
                session=session.short,
                program=session.program,
                reason=error.reason,
            )
        _deny(returned, error)


def _returned_already() -> RefusedError:
    return RefusedError("has-continuation", "a continuation of the session was returned already")


def _deny(returned: _Return, error: RefusedError) -> None:
    returned.parcel.descriptors.close()
    returned.client.tell(Denied(number=returned.number, code=error.code, reason=error.reason))


def _check_descriptors(continuation: Continuation, descriptors: Descriptors, session: ManagedSession) -> None:
    names = continuation.descriptors
    if len(names) != len(descriptors):
        reason = f"the continuation names {len(names)} descriptors, and {len(descriptors)} came with it"
        raise RefusedError("bad-request", reason)
    if continuation.process is not None and CONNECTION not in names:
        reason = f"a process that is started anew needs the connection: name it first, as `{CONNECTION}`"
        raise RefusedError("wrong-connection", reason)
    if CONNECTION in names[1:] or (
        CONNECTION in names and _link(descriptors.numbers[0]) != f"socket:[{session.socket.inode}]"
    ):
        reason = f"`{CONNECTION}` is not the session's connection; it comes first, and there is one"
        raise RefusedError("wrong-connection", reason)


def _link(descriptor: int) -> str:
    """Return what a descriptor is, from what never waits: fstat(2) would ask the file system."""
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
