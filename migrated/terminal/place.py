"""Where a user's holder is found on a host: a socket in a folder that only the user can enter.

It is below the home folder and not in ``XDG_RUNTIME_DIR``, because that is removed when the user's last
login ends, which is when the terminals have to stay. As home folders are shared between hosts, the names
carry the host's.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PATH_MAX: Final = 107
"""Source: unix(7), ``sun_path``."""


class PlaceError(Exception):
    """Say why the folder can't be used, and what to do."""


class HolderError(Exception):
    """Say why there is no holder here, or no answer of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder and the host's name."""

    folder: Path
    host: str

    @classmethod
    def usual(cls) -> Place:
        """Return the user's place on this host; ``MIGRATE_TERMINALS`` names another folder.

        Raises:
            PlaceError: the user has no home folder.
        """
        named = os.environ.get("MIGRATE_TERMINALS")
        state = os.environ.get("XDG_STATE_HOME", "")
        try:
            base = Path(state) if state.startswith("/") else Path.home() / ".local/state"
        except RuntimeError as error:
            raise PlaceError("you have no home folder; name a folder in MIGRATE_TERMINALS") from error
        return cls(folder=Path(named) if named else base / "migrate/terminals", host=socket.gethostname())

    @property
    def socket(self) -> Path:
        """The holder's socket."""
        return self.folder / f"{self.host}.sock"

    @property
    def log(self) -> Path:
        """What the holder has to say."""
        return self.folder / f"{self.host}.log"

    def prepare(self) -> None:
        """Make the folder, for this user alone.

        Raises:
            PlaceError: it can't be made, belongs to somebody else, or its path is too long for a socket.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.stat()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise PlaceError(f"no folder for terminals: {self.folder}: {reason}") from error
        if found.st_uid != os.geteuid():
            raise PlaceError(
                f"{self.folder} belongs to another user; name a folder of yours in MIGRATE_TERMINALS"
            )
        if found.st_mode & 0o077:
            self.folder.chmod(0o700)
        if len(os.fsencode(self.socket)) > _PATH_MAX:
            raise PlaceError(f"{self.socket} is too long for a socket; name a folder in MIGRATE_TERMINALS")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from starting or ending a holder meanwhile; the folder must be there."""
        with self._lock_file() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    @contextmanager
    def locked_at_once(self) -> Iterator[bool]:
        """Do the same without waiting, and say whether it could be done."""
        with self._lock_file() as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.folder / f"{self.host}.lock", flags, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
