"""Make files and sockets as another user makes them: for this thread, and for a moment.

The kernel judges what a thread opens, and says whose a new socket is, by the file-system user id.
It belongs to one thread alone, and no other user may signal or trace that thread because of it.

Source: setfsuid(2), credentials(7).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NO_ID: Final = 0xFFFFFFFF
"""An id that is nobody's: asking for it changes nothing and tells the one in force."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def acting_as(uid: int, gid: int | None = None) -> Iterator[None]:
    """Open files and make sockets as this user, until the end of the block.

    Where the daemon is root the kernel also takes the capabilities away for so long that pass over
    permissions of files. Supplementary groups stay the daemon's own.

    Args:
        uid: the user id.
        gid: the group id; ``None`` leaves it as it is.

    Raises:
        PermissionError: CAP_SETUID or CAP_SETGID is missing.
    """
    group = os.getegid() if gid is None else gid
    try:
        _become(_libc.setfsgid, group, "group", "CAP_SETGID")
        _become(_libc.setfsuid, uid, "user", "CAP_SETUID")
        yield
    finally:
        _libc.setfsuid(ctypes.c_uint(os.geteuid()))
        _libc.setfsgid(ctypes.c_uint(os.getegid()))


def _become(call: ctypes._NamedFuncPointer, number: int, what: str, capability: str) -> None:
    call(ctypes.c_uint(number))
    if ctypes.c_uint(call(ctypes.c_uint(_NO_ID))).value != number:
        raise PermissionError(f"can't act as {what} {number}: {capability} is missing")
