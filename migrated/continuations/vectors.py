"""The compatibility vectors of programs, on disk: one that ended for its continuation can't repeat its own.

Source: the Migrate paper, section V-A (register_compat_vector).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from migrated.continuations.seal import Seal
from migrated.database import Database
from migrated.log import event
from sessionlayer.continuations.compatibility import CompatibilityRegistry
from sessionlayer.continuations.values import Tag

TABLE: Final = """
    CREATE TABLE vectors (
        uid INTEGER NOT NULL, program BLOB NOT NULL, tags BLOB NOT NULL, seal BLOB NOT NULL,
        PRIMARY KEY (uid, program)
    );
"""

# See the casts of `migrated.continuations.store`.
_ALL: Final = """
    SELECT CAST(uid AS INTEGER), CAST(program AS BLOB), CAST(tags AS BLOB), COALESCE(CAST(seal AS BLOB), x'')
    FROM vectors
"""
_REPLACE: Final = "REPLACE INTO vectors VALUES (?, ?, ?, ?)"
_LABEL: Final = "vector"

_log = logging.getLogger(__name__)


class StoredVectors:
    """The registry of a host, as it was when the daemon ended.

    Args:
        database: one with the table `TABLE`.
        seal: what judges its rows.

    Raises:
        StoreError: the disk fails.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._registry = CompatibilityRegistry()
        for uid, program, tags, found in database.rows(_ALL):
            if seal.holds(found, _LABEL, uid, program, tags):
                decoded = msgspec.msgpack.decode(tags, type=tuple[Tag, ...])
                self._registry.register(uid, program.decode(), decoded)
            else:
                event(_log, logging.ERROR, "vector-altered", uid=uid, program=str(program))

    def register(self, uid: int, program: str, tags: Sequence[Tag]) -> None:
        """Take a program's vector, in place of the one before.

        Args:
            uid: the user whose program it is.
            program: its name, 1 to 255 characters.
            tags: everything that it offers.

        Raises:
            ContinuationError: a bound is broken; the vector before stays.
            StoreError: the disk fails; the vector holds until the daemon ends.
        """
        # Programs register at every start, mostly the same: that need not wait for the disk.
        known = self._registry.offered(uid, program)
        self._registry.register(uid, program, tags)
        if known != tuple(tags):
            encoded = msgspec.msgpack.encode(tuple(tags))
            name = program.encode()
            seal = self._seal.of(_LABEL, uid, name, encoded)
            self._database.execute(_REPLACE, uid, name, encoded, seal)

    def offered(self, uid: int, program: str) -> tuple[Tag, ...]:
        """Return the vector of a program; an empty one where it has registered none."""
        return self._registry.offered(uid, program)
