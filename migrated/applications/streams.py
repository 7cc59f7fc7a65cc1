"""Sessions of virtual streams whose processes have ended: started again by whoever knocks at their port.

A program carries such a session itself, and brings it here only when it gives it up: what we keep is its
continuation, and its listening sockets. We never accept from these, so that a client that looks for its
server waits in the kernel's queue until a process is there again. No right over the kernel is needed.

A continuation is off the disk before a process has it: two processes that go on from one state would tell the
client different things. So a daemon that dies in this very moment costs the session.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from engine import Connection, SessionDescription
from migrated.applications.client import Client
from migrated.applications.holding import Holding, Parcel
from migrated.applications.invoking import AGAIN_S, ATTEMPTS_MAX
from migrated.applications.judging import (
    check_file_systems,
    check_process,
    decoded_continuation,
    read_content,
)
from migrated.applications.keeper import Keeper
from migrated.applications.refusal import RefusedError
from migrated.applications.starter import Starter
from migrated.applications.takers import Takers
from migrated.applications.wire import Descriptors
from migrated.continuations.expiry import Expiries, expire_s
from migrated.core import Core
from migrated.database import StoreError
from migrated.resources import ResourceError
from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import CreateSession, Granted, ReturnContinuation
from sessionlayer.continuations.compatibility import check_compatibility
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import NAME_MAX
from sessionlayer.continuations.values import CONNECTION, Continuation

_ID_BYTES: Final = 16


class StreamSessions:
    """Keeps the sessions of virtual streams that programs give up.

    Args:
        core: what the daemon's parts share.
        keeper: puts sessions to rest.
        takers: what this host offers to programs.
        starter: starts processes.
    """

    def __init__(self, core: Core, keeper: Keeper, takers: Takers, starter: Starter) -> None:
        self._core = core
        self._keeper = keeper
        self._takers = takers
        self._starter = starter
        self._expiries = Expiries()
        self._created: dict[Client, CreateSession] = {}
        self._watched: dict[bytes, Descriptors] = {}
        self._again: dict[bytes, float] = {}
        self._starting: set[bytes] = set()
        self._started: dict[Client, bytes] = {}

    # What programs ask for.

    def create(self, client: Client, request: CreateSession) -> None:
        """Know which session a program is about to give up; it has one at a time.

        Raises:
            RefusedError: its name is none, or another session's.
        """
        if len(request.session) != _ID_BYTES:
            raise RefusedError("bad-request", f"a session's name has {_ID_BYTES} bytes")
        self._check_new(request.session)
        self._created[client] = request
        client.tell(Granted(number=request.number, session=request.session, peer=request.peer))

    def has(self, client: Client, session_id: bytes) -> bool:
        """Return whether a program has brought this session."""
        created = self._created.get(client)
        return created is not None and created.session == session_id

    def give_up(self, client: Client, request: ReturnContinuation, descriptors: Descriptors) -> None:
        """Take a session over whose process ends.

        Raises:
            RefusedError: it can't be taken; everything is as before.
        """
        self._check_new(request.session)
        if not len(descriptors) or len(request.program) > NAME_MAX:
            reason = f"send a memory file, and a program's name of at most {NAME_MAX} characters"
            raise RefusedError("bad-request", reason)
        content = read_content(descriptors.numbers[0])
        descriptors.take_first().close()
        continuation = decoded_continuation(content)
        _check(continuation, descriptors)
        check_file_systems(continuation, descriptors, client)
        check_process(continuation, client, client.who.uid)
        expires_at = self._expires_at(self._created[client], descriptors, request.program)
        parcel = Parcel(
            session_id=request.session,
            uid=client.who.uid,
            pid=client.who.pid,
            program=request.program,
            client=None,
            continuation=continuation,
            content=content,
            descriptors=descriptors.take(),
            expires_at=expires_at,
        )
        self._rest(parcel)
        client.tell(Granted(number=request.number, session=request.session, suspended=True))

    def take(self, client: Client, number: int) -> bool:
        """Give a process that we started its session; return whether it is one.

        Raises:
            RefusedError: the session has ended, or no descriptor is left.
        """
        session_id = self._started.get(client)
        if session_id is None:
            return False
        holding = self._keeper.holdings.of(session_id)
        if holding is None:
            raise RefusedError("unknown-session", "the session has ended meanwhile")
        try:
            self._hand_over(client, number, holding)
        except OSError as error:
            raise RefusedError("busy", f"the continuation can't be handed over: {error}") from error
        return True

    def gone(self, client: Client) -> None:
        """Take in that a program has gone; one that had not taken its session is started again."""
        self._created.pop(client, None)
        if (session_id := self._started.pop(client, None)) is not None:
            self._failed(session_id, "the process ended before it took its session up")

    # What the daemon tells.

    def claim(self, holding: Holding) -> bool:
        """Watch a session that was at rest before the daemon started; return whether it is one of ours."""
        try:
            parcel = self._keeper.load(holding).parcel
        except (StoreError, ContinuationError):
            return False
        if parcel.continuation.process is None or CONNECTION in parcel.continuation.descriptors:
            return False
        self._expiries.set(holding.session_id, parcel.expires_at)
        self._watch(holding)
        return True

    def check(self) -> None:
        """Do what is due; call it now and then."""
        now = self._core.now()
        for session_id in [session_id for session_id, at in self._again.items() if at <= now]:
            del self._again[session_id]
            if (holding := self._keeper.holdings.of(session_id)) is not None:
                self._watch(holding)
        for session_id in self._expiries.expired(time.time()):
            self.expire(session_id, "it was suspended for longer than the policy's `expire` allows")

    def expire(self, session_id: bytes, reason: str) -> bool:
        """Give a session up that is at rest; return whether it is one of ours."""
        if session_id not in self._watched and session_id not in self._again:
            return False
        self._end(session_id, reason)
        return True

    def close(self) -> None:
        """Watch nothing any more; the next daemon does."""
        for session_id in tuple(self._watched):
            self._unwatch(session_id)

    # At rest.

    def _check_new(self, session_id: bytes) -> None:
        if self._keeper.stored(session_id) is not None or self._core.sessions.of_id(session_id) is not None:
            raise RefusedError("has-continuation", "the daemon has a session of this name already")

    def _rest(self, parcel: Parcel) -> None:
        refused = self._keeper.put_to_rest([parcel])
        if refused:
            parcel.descriptors.close()
            raise refused[parcel.session_id]
        holding = self._keeper.holdings.of(parcel.session_id)
        assert holding is not None
        self._expiries.set(parcel.session_id, parcel.expires_at)
        self._watch(holding)
        self._tell("given-up", holding, kind=holding.kind.value, bytes=len(parcel.content))

    def _watch(self, holding: Holding) -> None:
        """Wait for somebody to knock. The custodian's duplicates would keep a loop watching closed ones."""
        open_now = holding.made if holding.whole else holding.kept
        listeners = Descriptors(os.dup(number) for number in open_now.numbers if _listens(number))
        if not len(listeners):
            self._end(holding.session_id, "its listening socket was lost when the daemon ended", holding)
            return
        self._watched[holding.session_id] = listeners
        for number in listeners.numbers:
            asyncio.get_running_loop().add_reader(number, self._knocked, holding)

    def _unwatch(self, session_id: bytes) -> None:
        with self._watched.pop(session_id, Descriptors()) as listeners:
            for number in listeners.numbers:
                asyncio.get_running_loop().remove_reader(number)

    def _expires_at(self, created: CreateSession, descriptors: Descriptors, program: str) -> float | None:
        description = _described(created, descriptors, program)
        after_s = expire_s(self._core.engine.expire_rules(description))
        return None if after_s is None else time.time() + after_s

    def _end(self, session_id: bytes, reason: str, holding: Holding | None = None) -> None:
        self._unwatch(session_id)
        self._again.pop(session_id, None)
        self._expiries.forget(session_id)
        if (holding := holding or self._keeper.holdings.of(session_id)) is not None:
            self._tell("ended", holding, reason=reason)
        self._keeper.drop(session_id)
        self._keeper.forget_now()

    # Somebody knocks.

    def _knocked(self, holding: Holding) -> None:
        session_id = holding.session_id
        self._unwatch(session_id)
        try:
            self._start(holding)
        except (RefusedError, StoreError, ContinuationError, ResourceError, OSError) as error:
            self._later(holding, str(error))

    def _start(self, holding: Holding) -> None:
        session_id = holding.session_id
        parcel = self._keeper.load(holding).parcel
        mismatches = check_compatibility(parcel.continuation.compatibility, self._takers.offered(holding))
        if mismatches:
            raise RefusedError("incompatible", "incompatible: " + "; ".join(map(str, mismatches)))
        if not holding.whole:
            self._keeper.restore(holding, {})

        def started(client: Client) -> None:
            self._starting.discard(session_id)
            self._started[client] = session_id

        def failed(reason: str) -> None:
            self._starting.discard(session_id)
            self._failed(session_id, reason)

        self._starter.start(parcel, holding.made.numbers, started=started, failed=failed)
        self._starting.add(session_id)

    def _hand_over(self, client: Client, number: int, holding: Holding) -> None:
        content = self._keeper.load(holding).parcel.content
        answer = Granted(number=number, session=holding.session_id, suspended=True, continued=True)
        with Descriptors([write_memory(content)]) as memory, holding.made.take() as made:
            self._expiries.forget(holding.session_id)
            self._keeper.release(holding)
            self._keeper.forget_now()
            del self._started[client]
            client.tell(answer, (*memory.numbers, *made.numbers))
        self._tell("invoked", holding, kind=holding.kind.value, pid=client.who.pid)

    def _failed(self, session_id: bytes, reason: str) -> None:
        holding = self._keeper.holdings.of(session_id)
        if holding is None:
            return
        holding.attempts += 1
        if holding.attempts >= ATTEMPTS_MAX:
            self._end(session_id, f"it can't go on: {reason}")
        else:
            self._later(holding, reason)

    def _later(self, holding: Holding, reason: str) -> None:
        """Let a session rest for a while whose client knocks in vain."""
        self._again[holding.session_id] = self._core.now() + AGAIN_S
        if holding.failure != reason:  # what stays so is told once
            holding.failure = reason
            self._tell("refused", holding, reason=reason)

    def _tell(self, event: str, holding: Holding, **fields: str | int) -> None:
        warning = event == "refused"
        self._core.journal.tell(
            event,
            level=logging.WARNING if warning else logging.INFO,
            owner=holding.uid,
            session=holding.session_id.hex()[:8],
            program=holding.program,
            **fields,
        )


def _check(continuation: Continuation, descriptors: Descriptors) -> None:
    if len(continuation.descriptors) != len(descriptors) or CONNECTION in continuation.descriptors:
        reason = "a virtual stream's continuation names the descriptors that come with it, and no connection"
        raise RefusedError("bad-request", reason)
    if continuation.process is None or continuation.on_expiry:
        reason = "of a virtual stream only a complete continuation is kept, without `on_expiry`"
        raise RefusedError("bad-request", reason)
    if not any(map(_listens, descriptors.numbers)):
        reason = "send the server's listening socket along: by it the client comes back"
        raise RefusedError("no-connection", reason)


def _listens(number: int) -> bool:
    """Return whether a descriptor is a listening TCP socket; what it is is asked so that nothing waits."""
    if not os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):  # noqa: PTH115
        return False
    with socket.socket(fileno=os.dup(number)) as sock:
        tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
        return tcp and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _described(created: CreateSession, descriptors: Descriptors, program: str) -> SessionDescription:
    """Return what policy is judged on; a client whose address is not known counts as of this host."""
    listener = next(number for number in descriptors.numbers if _listens(number))
    with socket.socket(fileno=os.dup(listener)) as sock:
        local = sock.getsockname()
    remote, remote_port = local[0], 0
    host, _, port = created.peer.rpartition(":")
    with suppress(ValueError):
        remote_port = int(port)
        remote = str(ip_address(host.strip("[]")))
    connection = Connection(
        proto="tcp",
        local_address=local[0],
        local_port=local[1],
        remote_address=remote,
        remote_port=remote_port,
        app=program,
        role="server",
    )
    return SessionDescription(id=created.session.hex(), connections=(connection,))
