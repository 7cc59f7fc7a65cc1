"""Regular files and folders: of each file one descriptor is kept, and others are opened again from it.

A descriptor that is kept holds its own position and its file, whatever happens to the file's name. It is
not moved back to where it was: somebody else may share it, such as the shell that started the program.

When the daemon was ended in between, nothing is kept any more. The file is then opened by its name, as the
user whose it is, and must be the same file still.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from migrated.kernel.owner import acting_as
from migrated.resources.spec import (
    Descriptor,
    Keep,
    Owner,
    ResourceError,
    ResourceLostError,
    Resumed,
    Suspended,
)

_NOT_AGAIN: Final = os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_NOFOLLOW
_WITHOUT_SURPRISE: Final = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DELETED: Final = " (deleted)"


class FileState(Struct, frozen=True, kw_only=True, array_like=True):
    """An open file: its name, which file it is, and how it was open. Size and position are in bytes."""

    path: str
    device: int
    inode: int
    size: int
    position: int
    flags: int


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(FileState)


class FileHandler:
    """Open regular files and folders again."""

    kind = "file"

    def suspend(self, descriptor: Descriptor) -> Suspended | None:
        """Say how a file is open; keep it unless the same file is kept through another descriptor.

        Returns:
            ``None`` for anything but a regular file or a folder that can be read or written.

        Raises:
            OSError: the descriptor is not open.
        """
        mode = descriptor.status.st_mode
        flags = fcntl.fcntl(descriptor.number, fcntl.F_GETFL)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or flags & os.O_PATH:
            return None
        state = FileState(
            path=str(_link(descriptor.number)),
            device=descriptor.status.st_dev,
            inode=descriptor.status.st_ino,
            size=descriptor.status.st_size,
            position=os.lseek(descriptor.number, 0, os.SEEK_CUR),
            flags=flags & ~(_NOT_AGAIN | os.O_TMPFILE) if stat.S_ISREG(mode) else flags & ~_NOT_AGAIN,
        )
        keep = Keep.SAME_FILE if _can_be_opened_again(descriptor, state.flags) else Keep.ITSELF
        return Suspended(state=_encoder.encode(state), keep=keep)

    def give_up(self, descriptor: int) -> None:
        """Do nothing: closing is enough."""

    def resume(self, state: bytes, keep: Keep, kept: int | None, owner: Owner) -> Resumed:
        """Return the file, opened again where it was not kept itself, with a report of what happened to it.

        Raises:
            ResourceLostError: its name leads to another file, or nowhere.
            ResourceError: its user may not open it any more.
        """
        was = _decoded(state)
        if kept is not None and keep is Keep.ITSELF:
            return Resumed(descriptor=kept, reports=_changes(kept, was))
        path = was.path if kept is None else f"/proc/self/fd/{kept}"
        number = _opened(path, was, owner)
        try:
            _check_same(number, was)
            os.lseek(number, was.position, os.SEEK_SET)
            fcntl.fcntl(number, fcntl.F_SETFL, was.flags)
            return Resumed(descriptor=number, reports=_changes(number, was))
        except BaseException:
            os.close(number)
            raise

    def forget(self, state: bytes) -> None:
        """Do nothing: nothing was prepared."""


def _link(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _can_be_opened_again(descriptor: Descriptor, flags: int) -> bool:
    """Try it, because permissions may have changed; and closing a descriptor would lose its lock."""
    if descriptor.same_file is None or _is_locked(descriptor.number):
        return False
    try:
        with acting_as(descriptor.owner.uid, descriptor.owner.gid):
            os.close(os.open(f"/proc/self/fd/{descriptor.same_file}", flags | _WITHOUT_SURPRISE))
    except OSError:
        return False
    return True


def _is_locked(descriptor: int) -> bool:
    return "\nlock:" in Path(f"/proc/self/fdinfo/{descriptor}").read_text()


def _opened(path: str, was: FileState, owner: Owner) -> int:
    try:
        with acting_as(owner.uid, owner.gid):
            return os.open(path, was.flags | _WITHOUT_SURPRISE)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise ResourceLostError(f"the file `{was.path}` was deleted or renamed") from error
        reason = (error.strerror or str(error)).lower()
        raise ResourceError(f"the file `{was.path}` can't be opened again: {reason}") from error


def _check_same(number: int, was: FileState) -> None:
    status = os.fstat(number)
    if (status.st_dev, status.st_ino) != (was.device, was.inode):
        raise ResourceLostError(f"the file `{was.path}` was replaced by another one")


def _changes(number: int, was: FileState) -> tuple[str, ...]:
    return tuple(text for text in (_name_change(number, was), _size_change(number, was)) if text)


def _name_change(number: int, was: FileState) -> str:
    path = str(_link(number))
    if path == was.path:
        return ""
    if not path.endswith(_DELETED):
        return f"the file `{was.path}` was renamed to `{path}`"
    if Path(was.path).exists():
        return f"the file `{was.path}` was replaced; the session goes on with the old one, which has no name"
    return f"the file `{was.path}` was deleted; the session goes on with it until it closes it"


def _size_change(number: int, was: FileState) -> str:
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or status.st_size >= was.size:
        return ""
    return f"the file `{was.path}` was truncated from {was.size} to {status.st_size} bytes"


def _decoded(state: bytes) -> FileState:
    try:
        return _decoder.decode(state)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ResourceError(f"what is on record of the file is damaged: {error}") from error
