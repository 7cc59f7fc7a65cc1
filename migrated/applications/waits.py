"""Which descriptors can make whoever closes them wait: for a network, or a program.

Programs may send us any descriptor. To close one flushes it, for which FUSE asks a process of its user's and
NFS a server that may not be reachable, which is when sessions are suspended. Neither readlink(2) on a
descriptor nor the tables of mounts ask the file system for anything.

Source: close(2), proc(5) (``fdinfo``, ``mountinfo``), ``fuse_flush`` in ``fs/fuse/file.c`` of Linux.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

CLOSINGS_MAX: Final = 8
"""Messages of one user whose descriptors are being closed at once; with more the user is not heard."""

UNKNOWN: Final = "an unknown file system"

_REMOTE: Final = ("fuse", "nfs", "cifs", "smb", "9p", "virtiofs", "ceph", "afs", "coda", "gluster", "lustre")
_LOCAL: Final = frozenset(
    (
        *("bcachefs", "btrfs", "devpts", "devtmpfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "proc"),
        *("ramfs", "squashfs", "sysfs", "tmpfs", "vfat", "xfs", "zfs"),
    )
)
"""What is local also where the mount is one of a program's own namespace. A user may mount others there, an
overlay over FUSE for one."""


class _Mount(NamedTuple):
    device: str
    kind: str


def may_wait(number: int, pid: int) -> str:
    """Return the kind of file system that can make whoever closes a descriptor wait, or nothing.

    Args:
        number: an open descriptor of ours.
        pid: of the process that has sent it, in whose namespace its mount may be.
    """
    if not os.readlink(f"/proc/self/fd/{number}").startswith("/") or _is_in_memory(number):  # noqa: PTH115
        return ""
    mount, own = _mount_of(number), _mounts("self")
    if (known := own.get(mount)) is not None:
        return known.kind if known.kind.startswith(_REMOTE) else ""
    foreign = _mounts(str(pid)).get(mount)
    if foreign is None:
        return UNKNOWN
    ours = any(foreign == known for known in own.values()) and not foreign.kind.startswith(_REMOTE)
    return "" if ours or foreign.kind in _LOCAL else foreign.kind


class Closer:
    """Closes descriptors that programs have sent, and waits for nobody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: Counter[int] = Counter()

    def is_busy(self, uid: int) -> bool:
        """Return whether so much of a user's waits to be closed that no more can be taken."""
        return self._under_way[uid] >= CLOSINGS_MAX

    def close(self, numbers: Sequence[int], uid: int, pid: int) -> None:
        """Close descriptors; those that may make us wait on a thread of their own.

        Args:
            numbers: ours, no longer.
            uid: the user who has sent them.
            pid: the process that has.
        """
        slow = []
        for number in numbers:
            if may_wait(number, pid):
                slow.append(number)
            else:
                os.close(number)
        if slow:
            with self._lock:
                self._under_way[uid] += 1
            threading.Thread(target=self._close_all, args=(slow, uid), name="close", daemon=True).start()

    def _close_all(self, numbers: Sequence[int], uid: int) -> None:
        for number in numbers:
            with suppress(OSError):  # what could not be flushed; it is closed all the same
                os.close(number)
        with self._lock:
            self._under_way[uid] -= 1


def _is_in_memory(number: int) -> bool:
    """Return whether it is a memory file, whatever its name is. Source: fcntl(2), "File Sealing"."""
    try:
        fcntl.fcntl(number, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


def _mount_of(number: int) -> str:
    lines = Path(f"/proc/self/fdinfo/{number}").read_text(encoding="ascii", errors="replace").splitlines()
    return next((line.split()[1] for line in lines if line.startswith("mnt_id:")), "")


def _mounts(process: str) -> dict[str, _Mount]:
    """Return the mounts that a process sees, by their numbers; none where it has gone."""
    try:
        table = Path(f"/proc/{process}/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found = {}
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        number, _, device, *_ = before.split()
        found[number] = _Mount(device=device, kind=after.split()[0])
    return found
