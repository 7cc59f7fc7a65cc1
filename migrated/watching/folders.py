"""Hear of changes in folders from the kernel, by watchdog.

watchdog's `Observer` is not used: to find the two halves of a rename it holds every event for up to half
a second, which is all the time that a save may take, and it spends a thread on each folder. `InotifyFD`
is its layer below, with one thread and no delay.

Source: inotify(7).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from threading import Lock
from typing import Final

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from migrated.watching.survey import Folder

_LISTENED_TO: Final = Mask(
    InotifyConstants.IN_MODIFY
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
)
"""Everything but reading, which loading a file would cause itself."""

_PASSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP})
"""Errors of a folder that has just gone or is closed to us, in which case others take notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Something may have changed.

    Attributes:
        path: the file, or the folder as a whole.
        being_written: that its content has changed by a program that has not closed it yet.
    """

    path: str
    being_written: bool = False


class FolderWatch:
    """Listens to folders.

    Args:
        tell: called with each hint, in a thread of its own. Must not raise.

    Raises:
        OSError: the kernel gives no more of this to this user, or knows no inotify.
    """

    def __init__(self, tell: Callable[[Hint], None]) -> None:
        self._tell = tell
        self._inotify = _Inotify()
        self._inotify.start()
        self._ears: dict[Folder, _Ear] = {}
        self._lock = Lock()
        self._closed = False

    def listen(self, folders: Mapping[Folder, frozenset[str]]) -> None:
        """Listen to these folders, and to no other ones any more.

        Args:
            folders: each with the patterns of the names in it that count.

        Raises:
            OSError: the kernel gives no more watches to this user; some of the folders are listened to.
        """
        with self._lock:
            if self._closed:
                return
            for folder in self._ears.keys() - folders.keys():
                self._cease(self._ears.pop(folder))
            for folder, names in folders.items():
                if folder in self._ears and not self._ears[folder].gone:
                    self._ears[folder].names = names
                elif os.access(folder.path, os.R_OK):
                    self._begin(folder, names)

    def close(self) -> None:
        """Listen to nothing any more; afterwards nothing is told."""
        with self._lock:
            self._closed = True
        self._inotify.stop()
        self._inotify.join()

    def _begin(self, folder: Folder, names: frozenset[str]) -> None:
        ear = _Ear(folder.path, names, self._tell)
        try:
            ear.watch = self._inotify.add_callback(os.fsencode(folder.path), _LISTENED_TO, ear, ear.id)
        except OSError as error:
            if error.errno not in _PASSING:
                raise
        else:
            self._ears[folder] = ear

    def _cease(self, ear: _Ear) -> None:
        if not ear.gone:
            self._inotify.remove_callbacks([(ear.watch, ear.id)])


class _Inotify(InotifyFD):
    """watchdog's, kept from programs that the daemon starts: some of them outlive it."""

    @classmethod
    def _create_inotify_fd(cls) -> int:
        descriptor = super()._create_inotify_fd()
        os.set_inheritable(descriptor, False)
        return descriptor


class _Ear:
    """Listens to one folder. Its methods are called in watchdog's thread."""

    watch: WatchDescriptor

    def __init__(self, path: str, names: frozenset[str], tell: Callable[[Hint], None]) -> None:
        self._path, self.names, self._tell = path, names, tell
        self.id = CallbackId(id(self))
        self.gone = False

    def on_event(self, event: InotifyEvent) -> None:
        """Take in that something has happened in the folder."""
        name = os.fsdecode(event.name)
        if not name:
            self._tell(Hint(path=self._path))
        elif any(fnmatchcase(name, pattern) for pattern in self.names):
            self._tell(Hint(path=f"{self._path}/{name}", being_written=event.is_modify))

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Take in that the folder is there no more."""
        self.gone = True
        self._tell(Hint(path=self._path))

    def on_queue_overflow(self) -> None:
        """Take in that the kernel has dropped events."""
        self._tell(Hint(path=self._path))
