"""Put sessions to rest that programs have given up, and make their descriptors again.

To rest: what the descriptors need is collected, which changes nothing; it goes on disk, for many sessions
at once; only then are the descriptors given up. A step that fails leaves the program with all it had.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Final

from migrated.applications.holding import Holding, Holdings, Loaded, Parcel, socket_in
from migrated.applications.refusal import RefusedError
from migrated.applications.share import beyond_share
from migrated.applications.wire import Descriptors
from migrated.continuations.store import ContinuationStore, Entry
from migrated.core import Core
from migrated.custody import Custody
from migrated.database import StoreError
from migrated.kernel.endpoint import EndPoint
from migrated.kernel.guard import Ends, GuardError, reconcile
from migrated.kernel.holders import find_holders
from migrated.resources import (
    Collected,
    ResourceError,
    ResourceLostError,
    Resources,
    Restored,
    released_connections,
)
from migrated.sessions import ManagedSession
from migrated.store import StoredSession
from sessionlayer.continuations.codec import decode
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.values import CONNECTION, Kind
from sessionlayer.protocol.values import Connection

_CLOSE_AT_ONCE: Final = struct.pack("=ii", 1, 0)
"""Of ``SO_LINGER``: a socket that its only holder leaves by dying is gone at once, and its place is free."""


class Keeper:
    """Moves sessions between programs and the disk.

    Args:
        core: what the daemon's parts share.
        store: the continuations on disk.
        resources: what knows descriptors.
        custody: has what stays open, should we die.
    """

    def __init__(self, core: Core, store: ContinuationStore, resources: Resources, custody: Custody) -> None:
        self._core = core
        self._store = store
        self._resources = resources
        self._custody = custody
        self._forgotten: list[bytes] = []
        self.holdings = Holdings()
        for session_id, entry in store.entries.items():
            self._holding(session_id, entry.uid, entry.kind, entry.program)

    def reconcile(
        self,
        sessions: Iterable[StoredSession],
        *,
        claim: Callable[[Holding], bool] = lambda _: False,
        guarded: bool = True,
    ) -> None:
        """Take back what stayed open, and let no segment disturb the connections that are on disk.

        No rule is left of a daemon that died. Call it once nobody else can be the daemon here.

        Args:
            sessions: as they were stored when the daemon started.
            claim: takes what is stored of no connection, if it is of a virtual stream.
            guarded: whether we may have such rules.
        """
        known = {stored.record.session_id: stored for stored in sessions}
        for session_id in self._store.altered & known.keys():  # whose it is only the connection still says
            self._holding(session_id, known[session_id].uid, Kind.SYSTEM, program="")
        self._take_back()
        self._forget_orphans(known.keys(), claim)
        if not guarded:
            return
        ends = [_ends(session.record.connection) for session in known.values() if self._is_released(session)]
        try:
            reconcile(ends)
        except GuardError as error:
            self._core.journal.tell("not-guarded", level=logging.WARNING, reason=str(error))

    def _take_back(self) -> None:
        for session_id, kept in self._custody.take_back().items():
            if (holding := self.stored(session_id)) is not None:
                holding.kept = kept
            else:
                self._custody.drop(session_id)
                kept.close()

    def _is_released(self, session: StoredSession) -> bool:
        holding = self.stored(session.record.session_id)
        return holding is not None and socket_in(holding.kept.numbers, session.inode) is None

    def _forget_orphans(self, known: Set[bytes], claim: Callable[[Holding], bool]) -> None:
        """Forget what can't be resumed: the daemon died in between, or the file of the sessions was lost."""
        for session_id in (self._store.entries.keys() | self._store.altered) - known:
            if (orphan := self.stored(session_id)) is not None and not claim(orphan):
                self._core.journal.tell(
                    "ended",
                    level=logging.WARNING,
                    owner=orphan.uid,
                    session=session_id.hex()[:8],
                    program=orphan.program,
                    reason="there is a continuation of it, and no record of its connection",
                )
                self.drop(session_id)

    def stored(self, session_id: bytes) -> Holding | None:
        """Return a session's holding, also one that can't be used because somebody altered it on disk."""
        found = self.holdings.of(session_id)
        if found is None and session_id in self._store.altered:
            found = self._holding(session_id, uid=-1, kind=Kind.SYSTEM, program="")
        return found

    @property
    def altered(self) -> frozenset[bytes]:
        """Return the sessions whose continuations somebody changed on disk, so that they can't go on."""
        return self._store.altered

    def entry(self, session_id: bytes) -> Entry | None:
        """Return what the store's index says of a session."""
        return self._store.entries.get(session_id)

    def put_to_rest(self, parcels: Sequence[Parcel]) -> dict[bytes, RefusedError]:
        """Take sessions over; the descriptors of those that are taken are ours.

        Returns:
            Why others were not, by session. They are as they were, and their descriptors the caller's.
        """
        self.forget_now()  # never what is stored now
        refused: dict[bytes, RefusedError] = {}
        collected: dict[bytes, tuple[Parcel, Collected]] = {}
        for parcel in parcels:
            try:
                collected[parcel.session_id] = parcel, self._collect(parcel)
            except ResourceError as error:
                refused[parcel.session_id] = RefusedError("resources", str(error))
        for judge in (partial(beyond_share, self.holdings), self._save):
            for session_id, refusal in judge(collected).items():
                self._withdraw(collected.pop(session_id)[1])
                refused[session_id] = refusal
        for session_id, (parcel, found) in collected.items():
            self._custody.keep(parcel.session_id, found.kept)
            try:
                found.release()
            except ResourceError as error:
                self._custody.drop(parcel.session_id)
                self._withdraw(found)
                self.forget_stored(session_id)
                refused[session_id] = RefusedError("resources", str(error))
            else:
                self._rest(parcel, found)
        return refused

    def taken_up_before(self, session: ManagedSession) -> None:
        """Forget the continuation of a session whose program has the connection after a restart.

        The daemon died when its program had it again, or had it still; unless it never gave it up, or only
        the custodian has it.
        """
        holding = self.holdings.of(session.session_id)
        if holding is None:
            return
        if self._only_kept(session, holding):
            session.pid = 0
            self._keep_open(session, holding.kept.numbers)
            return
        try:
            if CONNECTION not in self.load(holding).parcel.continuation.descriptors:
                return
        except (StoreError, ContinuationError) as error:
            self._core.tell_refused(session, str(error))
        self.drop(session.session_id)

    def make(self, holding: Holding) -> bool:
        """Make the descriptors of a holding again; its connection is the session's then, frozen."""
        session = self._core.sessions.of_id(holding.session_id)
        assert session is not None
        try:
            connection = socket_in(holding.kept.numbers, session.socket.inode)
            restored = self.restore(holding, {} if connection is None else {CONNECTION: connection})
        except (StoreError, ContinuationError, ResourceError) as error:
            holding.failure = str(error)
            if isinstance(error, ResourceLostError):
                self._core.end(session, f"it can't go on: {error}", tell_peer=True)
            return False
        for report in restored.reports:
            self._core.tell_refused(session, report)
        if CONNECTION in restored.names:
            self._connect(session, holding)
        return True

    def restore(self, holding: Holding, there: Mapping[str, int]) -> Restored:
        """Make the descriptors of a holding again.

        Args:
            holding: at rest.
            there: those that are there, by name.

        Raises:
            StoreError: its continuation can't be read.
            ContinuationError: it is damaged.
            ResourceError: a descriptor can't be made again.
        """
        loaded = self.load(holding)
        restored = self._resources.restore(loaded.resources, holding.kept.numbers, loaded.parcel.owner, there)
        holding.kept.give_up()
        holding.made = Descriptors(restored.descriptors)
        holding.whole, holding.made_at, holding.failure = True, self._core.now(), ""
        return restored

    def put_to_rest_again(self, holding: Holding) -> None:
        """Give up what was made again in vain; the session is suspended as before."""
        session = self._core.sessions.of_id(holding.session_id)
        assert session is not None
        assert holding.loaded is not None
        self.own_linger(session, holding)
        with Descriptors(os.dup(number) for number in self.descriptors(session, holding)) as duplicates:
            refused = self.put_to_rest([replace(holding.loaded.parcel, descriptors=duplicates)])
        if refused:
            holding.made_at = self._core.now()
            self._core.tell_refused(session, refused[session.session_id].reason)
        else:
            holding.close()

    def secure(self, session: ManagedSession, holding: Holding) -> None:
        """Let a live connection that no program has yet outlive us."""
        held, state = self._custody.held(holding.session_id), session.socket
        if state.entrusted and state.kept is not None and socket_in(held, state.inode) is None:
            self._core.save(session)  # by this inode the next daemon knows it again
            self._custody.keep(holding.session_id, (*held, state.kept.fileno()))

    def own_linger(self, session: ManagedSession, holding: Holding) -> None:
        """Give a connection back what its program had set, before it has it again."""
        if holding.linger and session.socket.kept is not None:
            session.socket.kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, holding.linger)
            holding.linger = b""

    def give_back(self, session: ManagedSession, holding: Holding) -> None:
        """Forget a session that its program has again. Our duplicate of its socket stays for a while."""
        session.socket.entrusted = False
        self.release(holding)
        self._core.save(session)

    def release(self, holding: Holding) -> None:
        """Forget what a program has again."""
        self.holdings.forget(holding.session_id)
        self.forget_stored(holding.session_id)
        self._custody.drop(holding.session_id)
        holding.close()

    def forget_stored(self, session_id: bytes) -> None:
        """Forget what is on disk of a session, soon: many that go on together wait for the disk once.

        A daemon that dies before finds that the program has the connection; see `taken_up_before`.
        """
        if not self._forgotten:
            asyncio.get_running_loop().call_soon(self.forget_now)
        self._forgotten.append(session_id)

    def forget_now(self) -> None:
        """Take off the disk what is needed no more. A disk that fails keeps it until it expires."""
        forgotten, self._forgotten = self._forgotten, []
        try:
            self._store.remove(forgotten)
        except StoreError as error:
            self._core.journal.tell("not-stored", level=logging.ERROR, reason=str(error))

    def drop(self, session_id: bytes) -> None:
        """Forget a session that has ended, with everything that was kept for it."""
        holding = self.holdings.forget(session_id)
        if holding is None:
            return
        try:
            if not holding.whole and (stored := self._store.load(session_id)) is not None:
                self._resources.discard(stored.resources)
        except (StoreError, ResourceError) as error:
            self._core.journal.tell("not-cleaned-up", level=logging.WARNING, reason=str(error))
        self.forget_stored(session_id)
        self._custody.drop(session_id)
        holding.close()

    def _collect(self, parcel: Parcel) -> Collected:
        session = self._core.sessions.of_id(parcel.session_id)
        own = {} if session is None else {session.socket.inode: session.socket.own}
        names = parcel.continuation.descriptors
        return self._resources.collect(names, parcel.descriptors.numbers, parcel.owner, own)

    def _save(self, collected: dict[bytes, tuple[Parcel, Collected]]) -> dict[bytes, RefusedError]:
        rows = [parcel.stored(found.state) for parcel, found in collected.values()]
        try:
            over_quota = self._store.save(rows) if rows else {}
        except StoreError as error:
            return {session_id: RefusedError("store", str(error)) for session_id in collected}
        return {session_id: RefusedError("quota", reason) for session_id, reason in over_quota.items()}

    def _rest(self, parcel: Parcel, found: Collected) -> None:
        parcel.descriptors.give_up()
        holding = self._holding(parcel.session_id, parcel.uid, parcel.continuation.kind, parcel.program)
        holding.pid, holding.client, holding.kept = parcel.pid, parcel.client, Descriptors(found.kept)
        if (session := self._core.sessions.of_id(parcel.session_id)) is None:
            return  # that of a virtual stream, which has no connection
        if CONNECTION in parcel.continuation.descriptors:
            if released_connections(found.state):
                self._disconnect(session, holding)
            else:
                self._keep_open(session, found.kept)
        self._core.save(session)

    def _holding(self, session_id: bytes, uid: int, kind: Kind, program: str) -> Holding:
        holding = Holding(session_id=session_id, uid=uid, kind=kind, program=program, make=self.make)
        self.holdings.add(holding)
        return holding

    def _disconnect(self, session: ManagedSession, holding: Holding) -> None:
        state = session.socket
        state.entrusted, state.released = False, holding
        state.let_go()
        self._core.sessions.change_socket(session, 0)

    def _keep_open(self, session: ManagedSession, kept: Sequence[int]) -> None:
        state = session.socket
        if state.kept is None:
            number = socket_in(kept, state.inode)
            assert number is not None
            state.kept = socket.socket(fileno=os.dup(number))
        state.entrusted = True

    def _only_kept(self, session: ManagedSession, holding: Holding) -> bool:
        """Return whether a session's socket is among what was kept for it, and no program has it."""
        inode = session.socket.inode
        holders = find_holders([inode]).get(inode, ())
        kept = socket_in(holding.kept.numbers, inode)
        return kept is not None and all(holder.pid == self._custody.pid for holder in holders)

    def _connect(self, session: ManagedSession, holding: Holding) -> None:
        (number,) = holding.made.take_first().give_up()
        state = session.socket
        if state.released is None:  # it was kept open all the time, and is until the holding is closed
            holding.kept.add(number)
            return
        state.kept = socket.socket(fileno=number)
        holding.linger = state.kept.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_CLOSE_AT_ONCE))
        state.kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
        state.entrusted, state.released = True, None
        self._core.sessions.change_socket(session, os.fstat(number).st_ino)

    def load(self, holding: Holding) -> Loaded:
        """Read what is on disk of a session, once.

        Raises:
            StoreError: it is not there, was altered, or the disk fails.
            ContinuationError: it is damaged, or of a newer version.
        """
        if holding.loaded is not None:
            return holding.loaded
        stored = self._store.load(holding.session_id)
        if stored is None:
            raise StoreError("its continuation is not in the store any more")
        parcel = Parcel(
            session_id=holding.session_id,
            uid=stored.uid,
            pid=holding.pid,
            program=stored.program,
            client=holding.client,
            continuation=decode(stored.content),
            content=stored.content,
            descriptors=Descriptors(),
            expires_at=stored.expires_at,
        )
        holding.loaded = Loaded(parcel=parcel, resources=stored.resources)
        return holding.loaded

    def descriptors(self, session: ManagedSession, holding: Holding) -> tuple[int, ...]:
        """Return what was made again, in the continuation's order; all of it stays ours."""
        kept = session.socket.kept
        connection = () if kept is None or not session.socket.entrusted else (kept.fileno(),)
        return (*connection, *holding.made.numbers)

    def _withdraw(self, found: Collected) -> None:
        try:
            found.withdraw()
        except ResourceError as error:
            self._core.journal.tell("not-cleaned-up", level=logging.WARNING, reason=str(error))


def _ends(connection: Connection) -> Ends:
    return Ends(
        local=EndPoint(address=connection.local_address, port=connection.local_port),
        remote=EndPoint(address=connection.remote_address, port=connection.remote_port),
    )
