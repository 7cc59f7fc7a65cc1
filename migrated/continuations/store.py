"""The continuations of suspended sessions, on disk until their sessions resume or expire.

They have a file of their own, ``continuations.sqlite`` beside ``sessions.sqlite``: what they hold belongs
to programs and may be large. Every change is waited for until the disk has it (``synchronous = FULL``; the
other file has NORMAL), because a program ends once its continuation is granted, and then nothing else knows
its state. Many at once share one transaction, and so one wait. In memory is an index alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from types import MappingProxyType
from typing import Any, Final

from migrated.continuations.quota import Ledger, Quota, Usage
from migrated.continuations.seal import Seal, digest
from migrated.continuations.vectors import TABLE as VECTORS_TABLE
from migrated.continuations.vectors import StoredVectors
from migrated.database import Database, Layout, StoreError, Value, prepare_folder
from migrated.log import event
from sessionlayer.continuations.compression import compress, decompress
from sessionlayer.continuations.limits import RESOURCES_MAX
from sessionlayer.continuations.values import Kind
from sessionlayer.protocol.keys import HostKey

FILE_NAME: Final = "continuations.sqlite"

_LAYOUT: Final = Layout(
    version=1,
    tables=VECTORS_TABLE
    + """
        CREATE TABLE continuations (
            id BLOB PRIMARY KEY, uid INTEGER NOT NULL, program BLOB NOT NULL, kind BLOB NOT NULL,
            stored_at REAL NOT NULL, expires_at REAL, size INTEGER NOT NULL,
            digest BLOB NOT NULL, seal BLOB NOT NULL, content BLOB NOT NULL, resources BLOB NOT NULL
        );
    """,
    synchronous="FULL",
    loss="suspended sessions whose programs gave them up are lost",
    contents="the suspended sessions",
)

# The casts make every value what it should be, whatever somebody may have put there; the seal judges it.
_INDEX: Final = """
    SELECT COALESCE(CAST(id AS BLOB), x''), CAST(uid AS INTEGER), CAST(program AS BLOB), CAST(kind AS BLOB),
           CAST(stored_at AS REAL), CAST(expires_at AS REAL), CAST(size AS INTEGER),
           CAST(digest AS BLOB), COALESCE(CAST(seal AS BLOB), x'')
    FROM continuations
"""
_CONTENT: Final = """
    SELECT COALESCE(CAST(content AS BLOB), x''), COALESCE(CAST(resources AS BLOB), x'')
    FROM continuations WHERE id = ?
"""
_REPLACE: Final = "REPLACE INTO continuations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ALTERED: Final = (
    "it is not what this daemon stored: somebody changed it, or the host key is another one; "
    "it will not be invoked, `migrate continuations expire` gives the session up"
)

_log = logging.getLogger(__name__)


class AlteredError(StoreError):
    """Say that a stored continuation is not what this daemon wrote, so that it must not be invoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the index says of a continuation. Times are seconds since the epoch.

    Attributes:
        uid: whose program returned it.
        program: its name, for people and for attach handlers.
        kind: what is needed to go on from it.
        stored_at: when it was returned.
        expires_at: when the session is given up; ``None`` for never.
        size: bytes that it takes in the store.
        digest: of what is not in memory (32 bytes).
    """

    uid: int
    program: str
    kind: Kind
    stored_at: float
    expires_at: float | None
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContinuation:
    """A continuation as the store keeps it. Times are seconds since the epoch.

    Attributes:
        session_id: of its session (16 bytes).
        uid: whose program returned it.
        program: its name, for people and for attach handlers.
        kind: what is needed to go on from it.
        stored_at: when it was returned.
        expires_at: when the session is given up; ``None`` for never.
        content: as `sessionlayer.continuations.codec` encodes it.
        resources: what the descriptors were, as `migrated.resources` says it; stored compressed.
    """

    session_id: bytes
    uid: int
    program: str
    kind: Kind
    stored_at: float
    expires_at: float | None
    content: bytes
    resources: bytes = b""


class ContinuationStore:
    """The continuations of this host, open. All methods raise `StoreError` when the disk fails them.

    Args:
        folder: the daemon's folder of state.
        host_key: the key of this host, which seals every row.
        quota: what one user may have in it.

    Attributes:
        vectors: what programs have registered to be compatible with.

    Raises:
        StoreError: the folder or the file can't be used, another daemon has it, or it is too new.
    """

    def __init__(self, folder: Path, host_key: HostKey, quota: Quota = Quota()) -> None:  # noqa: B008
        prepare_folder(folder)
        self._seal = Seal(host_key)
        self._ledger = Ledger(quota)
        self._entries: dict[bytes, Entry] = {}
        self._altered: set[bytes] = set()
        self._database = Database(folder / FILE_NAME, _LAYOUT)
        for row in self._database.rows(_INDEX):
            self._take_in(row)
        self.vectors = StoredVectors(self._database, self._seal)

    def close(self) -> None:
        """Let go of the store. Closing twice is harmless."""
        self._database.close()

    @property
    def entries(self) -> Mapping[bytes, Entry]:
        """Return the index, by session id: a view that follows every change."""
        return MappingProxyType(self._entries)

    @property
    def altered(self) -> frozenset[bytes]:
        """Return the ids of rows that are not what was stored. They stay until they are removed."""
        return frozenset(self._altered)

    def usage(self, uid: int) -> Usage:
        """Return what a user has in the store."""
        return self._ledger.usage(uid)

    def save(self, continuations: Sequence[StoredContinuation]) -> dict[bytes, str]:
        """Store continuations of different sessions, each in place of that before, in one transaction.

        When this returns they are on the disk; when it raises, everything is as before.

        Returns:
            Why some were not stored, by session id: their user's quota is used up, or they are too large.

        Raises:
            StoreError: the disk is full or fails.
        """
        refused: dict[bytes, str] = {}
        counted: dict[bytes, Entry] = {}
        rows: list[tuple[Value, ...]] = []
        for continuation in continuations:
            session_id, resources = continuation.session_id, compress(continuation.resources)
            entry = _entry(continuation, resources)
            if reason := _too_large(continuation) or self._count(session_id, entry):
                refused[session_id] = reason
                continue
            counted[session_id] = entry
            rows.append(self._row(session_id, entry, continuation.content, resources))
        try:
            with self._database.transaction():
                self._database.execute_many(_REPLACE, rows)
        except StoreError:
            self._count_back(counted)
            raise
        self._entries.update(counted)
        self._altered.difference_update(counted)
        return refused

    def load(self, session_id: bytes) -> StoredContinuation | None:
        """Return the continuation of a session, if there is one that this daemon stored.

        Raises:
            AlteredError: there is one that it did not store so.
            StoreError: the disk fails.
        """
        entry = self._entries.get(session_id)
        if entry is None:
            if session_id in self._altered:
                raise AlteredError(f"the continuation of session {session_id.hex()} is damaged: {_ALTERED}")
            return None
        rows = self._database.execute(_CONTENT, session_id)
        if not rows or digest(*rows[0]) != entry.digest:
            self._reject(session_id)
            raise AlteredError(f"the continuation of session {session_id.hex()} is damaged: {_ALTERED}")
        content, resources = rows[0]
        return StoredContinuation(
            session_id=session_id,
            uid=entry.uid,
            program=entry.program,
            kind=entry.kind,
            stored_at=entry.stored_at,
            expires_at=entry.expires_at,
            content=content,
            resources=decompress(resources, RESOURCES_MAX, "the resources of a continuation"),
        )

    def remove(self, session_ids: Iterable[bytes]) -> None:
        """Forget the continuations of these sessions, those that there are, in one transaction.

        Raises:
            StoreError: the disk fails; everything is as before.
        """
        ids = list(dict.fromkeys(session_ids))
        with self._database.transaction():
            self._database.execute_many("DELETE FROM continuations WHERE id = ?", ([id_] for id_ in ids))
        for session_id in ids:
            self._altered.discard(session_id)
            if (entry := self._entries.pop(session_id, None)) is not None:
                self._ledger.remove(entry.uid, entry.size)

    def _count(self, session_id: bytes, entry: Entry) -> str:
        """Count a continuation in place of that before; return why it does not fit, with nothing changed."""
        before = self._entries.get(session_id)
        if before is not None:
            self._ledger.remove(before.uid, before.size)
        reason = self._ledger.refusal(entry.uid, entry.size)
        counted = before if reason else entry
        if counted is not None:
            self._ledger.add(counted.uid, counted.size)
        return reason

    def _count_back(self, counted: Mapping[bytes, Entry]) -> None:
        for session_id, entry in counted.items():
            self._ledger.remove(entry.uid, entry.size)
            if (before := self._entries.get(session_id)) is not None:
                self._ledger.add(before.uid, before.size)

    def _row(self, session_id: bytes, entry: Entry, content: bytes, resources: bytes) -> tuple[Value, ...]:
        fields = _fields(session_id, entry)
        return (*fields, self._seal.of(*fields), content, resources)

    def _take_in(self, row: tuple[Any, ...]) -> None:
        """Put a row into the index, if it is what was stored."""
        session_id, uid, program, kind, stored_at, expires_at, size, content_digest, seal = row
        fields = (session_id, uid, program, kind, stored_at, expires_at, size, content_digest)
        if not self._seal.holds(seal, *fields):
            self._reject(session_id)
            return
        self._entries[session_id] = Entry(
            uid=uid,
            program=intern(program.decode()),
            kind=Kind(kind.decode()),
            stored_at=stored_at,
            expires_at=expires_at,
            size=size,
            digest=content_digest,
        )
        self._ledger.add(uid, size)

    def _reject(self, session_id: bytes) -> None:
        if (entry := self._entries.pop(session_id, None)) is not None:
            self._ledger.remove(entry.uid, entry.size)
        self._altered.add(session_id)
        event(_log, logging.ERROR, "continuation-altered", session=session_id.hex(), reason=_ALTERED)


def _too_large(continuation: StoredContinuation) -> str:
    size = len(continuation.resources)
    if size <= RESOURCES_MAX:
        return ""
    return f"its descriptors and connections take {size} bytes, at most {RESOURCES_MAX} are allowed"


def _entry(continuation: StoredContinuation, resources: bytes) -> Entry:
    return Entry(
        uid=continuation.uid,
        program=intern(continuation.program),
        kind=continuation.kind,
        stored_at=float(continuation.stored_at),
        expires_at=None if continuation.expires_at is None else float(continuation.expires_at),
        size=len(continuation.content) + len(resources),
        digest=digest(continuation.content, resources),
    )


def _fields(session_id: bytes, entry: Entry) -> tuple[Value, ...]:
    """Return what the seal covers, in the order and the types of `_INDEX`."""
    return (
        session_id,
        entry.uid,
        entry.program.encode(),
        entry.kind.value.encode(),
        entry.stored_at,
        entry.expires_at,
        entry.size,
        entry.digest,
    )
