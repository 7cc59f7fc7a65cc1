"""What outlives the daemon: its host key, the keys of its peers, and its sessions.

The folder holds ``host.key`` and ``sessions.sqlite``, both readable by their owner alone. One daemon
at a time has the store open; the kernel lets go of its lock when the daemon dies, however it dies.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine import SessionDescription
from migrated.database import Database, Layout, StoreError, prepare_folder
from migrated.kernel.freeze import OwnOptions
from migrated.keyfile import KeyFileError, read_or_make_key
from migrated.log import event
from sessionlayer.decoding import decoded
from sessionlayer.protocol.keys import HostKey
from sessionlayer.protocol.session import SessionRecord

__all__ = ["SCHEMA_VERSION", "Store", "StoreError", "StoredSession"]

SCHEMA_VERSION: Final = 1
"""Kept in ``user_version`` of the database."""

_LAYOUT: Final = Layout(
    version=SCHEMA_VERSION,
    tables="""
        CREATE TABLE known_keys (name TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE sessions (id BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
    """,
    # A power failure may lose the last moves, never the database; a dying process loses nothing.
    synchronous="NORMAL",
    loss="sessions and known host keys are forgotten; host keys are trusted anew",
    contents="the sessions",
)

_log = logging.getLogger(__name__)


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
        prepare_folder(folder)
        self._database = Database(folder / "sessions.sqlite", _LAYOUT)

    def close(self) -> None:
        """Let go of the store. Closing twice is harmless."""
        self._database.close()

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
        rows = self._database.execute("SELECT key FROM known_keys WHERE name = ?", name)
        return bytes(rows[0][0]) if rows else None

    def remember_key(self, name: str, key: bytes) -> None:
        """Store the public key (32 bytes) of a peer, in place of any other."""
        self._database.execute("REPLACE INTO known_keys VALUES (?, ?)", name, key)

    def forget_key(self, name: str) -> None:
        """Forget the key of a peer, if there is one."""
        self._database.execute("DELETE FROM known_keys WHERE name = ?", name)

    def sessions(self) -> tuple[StoredSession, ...]:
        """Return all sessions that can be read; the others are skipped with a warning."""
        rows = self._database.execute("SELECT id, content FROM sessions ORDER BY id")
        read = (_decode(session_id, content) for session_id, content in rows)
        return tuple(session for session in read if session is not None)

    def save_session(self, session: StoredSession) -> None:
        """Store a session, in place of what was stored of it. It is on record when this returns."""
        content = msgspec.json.encode(session)
        self._database.execute("REPLACE INTO sessions VALUES (?, ?)", session.record.session_id, content)

    def forget_session(self, session_id: bytes) -> None:
        """Forget the session of this id (16 bytes), if there is one."""
        self._database.execute("DELETE FROM sessions WHERE id = ?", session_id)


_sessions: Final = msgspec.json.Decoder(StoredSession)


def _decode(session_id: bytes, content: bytes) -> StoredSession | None:
    try:
        return decoded(_sessions, content)
    except msgspec.DecodeError as error:
        event(_log, logging.WARNING, "session-unreadable", session=bytes(session_id).hex(), reason=error)
        return None
