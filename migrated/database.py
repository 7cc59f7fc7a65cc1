"""A SQLite file in the folder of state: private, owned by one process, set aside when it is damaged."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from migrated.log import event

_LOCK_TIMEOUT_S: Final = 1.0
"""How long another daemon may still have the file: long enough for one that is just ending."""

_log = logging.getLogger(__name__)

Value = str | bytes | int | float | None
"""What a column can hold."""


class StoreError(Exception):
    """Say what keeps a store from being used, and what to do."""


class Layout(NamedTuple):
    """What a database looks like, and what its loss means.

    Attributes:
        version: of the schema, kept in ``user_version``; a newer one is left alone.
        tables: the statements that make it.
        synchronous: how long a transaction waits for the disk (SQLite's ``PRAGMA synchronous``).
        loss: what is forgotten where a damaged file is set aside, for people.
        contents: what a file of a newer version holds, for people.
    """

    version: int
    tables: str
    synchronous: Literal["NORMAL", "FULL"]
    loss: str
    contents: str


class Database:
    """An open database that no other process has. All methods raise `StoreError` when the disk fails them.

    Args:
        file: its path, in a folder that `prepare_folder` has judged.
        layout: what it looks like.

    Raises:
        StoreError: it can't be used, another daemon has it, or it is of a newer version.
    """

    def __init__(self, file: Path, layout: Layout) -> None:
        self.file = file
        self._layout = layout
        self._connection = self._open()

    def close(self) -> None:
        """Let go of the file. Closing twice is harmless."""
        self._connection.close()

    def execute(self, statement: str, *values: Value) -> list[tuple[Any, ...]]:
        """Carry one statement out and return its rows."""
        with self._sql_errors():
            return self._connection.execute(statement, values).fetchall()

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement one by one, without having them all in memory."""
        with self._sql_errors():
            yield from self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is done in the block one change, on record as a whole when it ends, or not at all."""
        with self._sql_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself where the disk was full.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def execute_many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Carry a statement out for each row; within a `transaction`."""
        with self._sql_errors():
            self._connection.executemany(statement, rows)

    @contextmanager
    def _sql_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"cannot use {self.file}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        """Open the database; one that is damaged is moved aside, for a new one."""
        with self._sql_errors():
            try:
                return self._connect()
            except sqlite3.OperationalError as error:
                raise _refused(self.file, error) from error
            except sqlite3.DatabaseError as error:
                aside = _move_aside(self.file)
                event(
                    _log, logging.WARNING, "store-damaged", reason=error, kept=aside, advice=self._layout.loss
                )
                return self._connect()

    def _connect(self) -> sqlite3.Connection:
        """Open and prepare the database.

        Raises:
            StoreError: it is of a newer version.
            sqlite3.DatabaseError: it is damaged, or (`sqlite3.OperationalError`) can't be used.
        """
        _touch_private(self.file)
        connection = sqlite3.connect(self.file, timeout=_LOCK_TIMEOUT_S, isolation_level=None)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # The lock of a single owner keeps a second daemon out, and spares the shared memory file.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._layout.synchronous}")
        ((found,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        known, contents = self._layout.version, self._layout.contents
        if version > known:
            raise StoreError(
                f"{self.file} was written by a newer migrated (version {version} of the store, this one "
                f"knows {known}); install that one, or move the file away and lose {contents} in it"
            )
        if version == 0:
            tables = self._layout.tables
            connection.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {known}; COMMIT;")


def prepare_folder(folder: Path) -> None:
    """Make the folder of state, if it is missing, such that nobody else may write to it.

    Raises:
        StoreError: it can't be made, or others may write to it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise StoreError(f"cannot make the folder {folder}: {reason(error)}; see `state_folder`") from error
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(f"others may write to {folder}; run `chmod 700 {folder}`, or choose another folder")


def reason(error: OSError) -> str:
    """Return what the system says of a failure, as a part of a sentence."""
    return (error.strerror or str(error)).lower()


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


def _touch_private(file: Path) -> None:
    """Make the file, if it is missing, such that its owner alone may read it; SQLite's others follow it."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open {file}: {reason(error)}") from error
