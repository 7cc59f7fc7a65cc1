"""A private key in a file: made when it is first asked for, private, never replaced."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.keys import HostKey


class KeyFileError(Exception):
    """Say what keeps a key from being used, and what to do."""


def read_or_make_key(file: Path) -> tuple[HostKey, bool]:
    """Return the key in ``file``, and whether it was made just now.

    Raises:
        KeyFileError: it can't be read or written, others may read it, or it is no key.
    """
    try:
        made = not file.exists() and _write_once(file, HostKey.generate(os.urandom).to_text())
        _check_private(file)
        return HostKey.from_text(file.read_text(encoding="ascii")), made
    except OSError as error:
        raise KeyFileError(f"cannot use the host key {file}: {_reason(error)}") from error
    except (LocalProtocolError, UnicodeDecodeError) as error:
        advice = "restore it from a backup, or remove it for a new key, which peers will not know"
        raise KeyFileError(f"{file} is damaged ({error}); {advice}") from error


def _check_private(file: Path) -> None:
    status = file.stat()
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise KeyFileError(
            f"others may use the host key {file} (its mode is {mode:04o}); run `chmod 600 {file}`, and make "
            f"a new key (by removing it) if somebody may have read it"
        )


def _write_once(file: Path, text: str) -> bool:
    """Write a private file that is there as a whole or not at all; return whether it was not there.

    Raises:
        OSError: it can't be written.
    """
    # A name of chance: one made of the process id would meet its own leftovers in a container.
    descriptor, draft = mkstemp(prefix=f"{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as writer:
            writer.write(text)
            writer.flush()
            os.fsync(writer.fileno())
        with suppress(FileExistsError):
            file.hardlink_to(draft)
            return True
        return False
    finally:
        Path(draft).unlink()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
