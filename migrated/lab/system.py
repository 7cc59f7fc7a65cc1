"""The few system calls of namespaces that Python 3.11 has no name for.

Source: namespaces(7), unshare(2), setns(2).
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def unshare_network() -> None:
    """Move the calling thread into a new, empty network namespace.

    Raises:
        OSError: the kernel refuses (``EPERM`` without CAP_SYS_ADMIN).
    """
    _check(_libc.unshare(CLONE_NEWNET), "unshare")


def enter_network(namespace: int) -> None:
    """Move the calling thread into the network namespace that the file descriptor stands for.

    Raises:
        OSError: the kernel refuses, or the descriptor is not a network namespace.
    """
    _check(_libc.setns(namespace, CLONE_NEWNET), "setns")


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
