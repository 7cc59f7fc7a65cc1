"""What outlives the daemon: its host key, the keys of its peers, and its sessions.

The folder holds ``host.key`` and ``sessions.sqlite``, both readable by their owner alone. One daemon
at a time has the store open; the kernel lets go of its lock when the daemon dies, however it dies.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from engine import SessionDescription
from migrated.kernel.freeze import OwnOptions
from migrated.keyfile import KeyFileError, read_or_make_key
from migrated.log import event
from sessionlayer.protocol.keys import HostKey
from sessionlayer.protocol.session import SessionRecord

SCHEMA_VERSION: Final = 1
"""Kept in ``user_version`` of the database."""

_LOCK_TIMEOUT_S: Final = 1.0
"""How long another daemon may still have the store: long enough for one that is just ending."""

_SCHEMA: Final = f"""
    BEGIN IMMEDIATE;
    CREATE TABLE known_keys (name TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE sessions (id BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
    PRAGMA user_version = {SCHEMA_VERSION};
    COMMIT;
"""

_log = logging.getLogger(__name__)


class StoreError(Exception):
    """Say what keeps the store from being used, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session as the daemon takes it up again.

    Attributes:
        record: what the protocol knows.
        inode: of the socket, by which the connection is found again in the kernel.
        uid: whose program it is.
        program: its name, for people.
        own: the program's own socket options.
        description: what policy is judged on.
        suspended: whether the engine had it suspended.
        adopted_at: seconds since the epoch.
        peer_address: where the peer's daemon was last heard.
        peer_port: its port.
    """

    record: SessionRecord
    inode: int
    uid: int
    program: str
    own: OwnOptions
    description: SessionDescription
    suspended: bool
    adopted_at: float
    peer_address: str
    peer_port: int


class Store:
    """The daemon's folder of state, open. All methods raise `StoreError` when the disk fails them."""

    def __init__(self, folder: Path) -> None:
        """Open the store in ``folder``, making what is missing.

        Raises:
            StoreError: the folder or a file can't be used, another daemon has it, or it is too new.
        """
        self._folder = folder
        self._database = folder / "sessions.sqlite"
        _prepare_folder(folder)
        self._connection = self._open()

    def close(self) -> None:
        """Let go of the store. Closing twice is harmless."""
        self._connection.close()

    def host_key(self) -> HostKey:
        """Return the key of this host, made when it is first asked for.

        Raises:
            StoreError: it can't be read or written, others may read it, or it is no key.
        """
        try:
            return read_or_make_key(self._folder / "host.key")[0]
        except KeyFileError as error:
            raise StoreError(str(error)) from error

    def known_key(self, name: str) -> bytes | None:
        """Return the public key (32 bytes) stored for the peer of this name or address."""
        rows = self._execute("SELECT key FROM known_keys WHERE name = ?", name)
        return bytes(rows[0][0]) if rows else None

    def remember_key(self, name: str, key: bytes) -> None:
        """Store the public key (32 bytes) of a peer, in place of any other."""
        self._execute("REPLACE INTO known_keys VALUES (?, ?)", name, key)

    def forget_key(self, name: str) -> None:
        """Forget the key of a peer, if there is one."""
        self._execute("DELETE FROM known_keys WHERE name = ?", name)

    def sessions(self) -> tuple[StoredSession, ...]:
        """Return all sessions that can be read; the others are skipped with a warning."""
        rows = self._execute("SELECT id, content FROM sessions ORDER BY id")
        read = (_decode(session_id, content) for session_id, content in rows)
        return tuple(session for session in read if session is not None)

    def save_session(self, session: StoredSession) -> None:
        """Store a session, in place of what was stored of it. It is on record when this returns."""
        content = msgspec.json.encode(session)
        self._execute("REPLACE INTO sessions VALUES (?, ?)", session.record.session_id, content)

    def forget_session(self, session_id: bytes) -> None:
        """Forget the session of this id (16 bytes), if there is one."""
        self._execute("DELETE FROM sessions WHERE id = ?", session_id)

    def _execute(self, statement: str, *values: str | bytes) -> list[tuple[bytes, bytes]]:
        with self._sql_errors():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _sql_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"cannot use {self._database}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        """Open the database; one that is damaged is moved aside, for a new one."""
        with self._sql_errors():
            try:
                return _connect(self._database)
            except sqlite3.OperationalError as error:
                raise _refused(self._database, error) from error
            except sqlite3.DatabaseError as error:
                aside = _move_aside(self._database)
                advice = "sessions and known host keys are forgotten; host keys are trusted anew"
                event(_log, logging.WARNING, "store-damaged", reason=error, kept=aside, advice=advice)
                return _connect(self._database)


def _connect(file: Path) -> sqlite3.Connection:
    """Open and prepare the database.

    Raises:
        StoreError: it is of a newer version.
        sqlite3.DatabaseError: it is damaged, or (`sqlite3.OperationalError`) can't be used.
    """
    _touch_private(file)
    connection = sqlite3.connect(file, timeout=_LOCK_TIMEOUT_S, isolation_level=None)
    try:
        _prepare(connection, file)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, file: Path) -> None:
    # The lock of a single owner keeps a second daemon out, and spares the shared memory file.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    # A power failure may lose the last moves, never the database; a dying process loses nothing.
    connection.execute("PRAGMA synchronous = NORMAL")
    ((found,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{file} was written by a newer migrated (version {version} of the store, this one knows "
            f"{SCHEMA_VERSION}); install that one, or move the file away and lose the sessions in it"
        )
    if version == 0:
        connection.executescript(_SCHEMA)


def _refused(file: Path, error: sqlite3.OperationalError) -> StoreError:
    if "locked" in str(error):
        return StoreError(f"{file} is in use by another daemon; stop it, or choose another `state_folder`")
    return StoreError(f"cannot use {file}: {error}")


def _move_aside(file: Path) -> Path:
    """Rename a damaged database and what belongs to it; return its new name."""
    names = (file.with_name(f"{file.name}.damaged-{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{file}{suffix}").rename(f"{aside}{suffix}")
    return aside


def _decode(session_id: bytes, content: bytes) -> StoredSession | None:
    try:
        return msgspec.json.decode(content, type=StoredSession)
    except msgspec.DecodeError as error:
        event(_log, logging.WARNING, "session-unreadable", session=bytes(session_id).hex(), reason=error)
        return None


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise StoreError(f"cannot make the folder {folder}: {_reason(error)}; see `state_folder`") from error
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(f"others may write to {folder}; run `chmod 700 {folder}`, or choose another folder")


def _touch_private(file: Path) -> None:
    """Make the file, if it is missing, such that its owner alone may read it; SQLite's others follow it."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open {file}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
