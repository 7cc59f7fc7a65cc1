"""Find descriptors that lead to the same open file: one of them is enough.

Source: kcmp(2), ``KCMP_FILE``.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

_KCMP: Final = {"x86_64": 312, "aarch64": 272, "riscv64": 272}
_KCMP_FILE: Final = 0

_libc = ctypes.CDLL(None, use_errno=True)


def first_alike(descriptors: Sequence[int]) -> tuple[int, ...]:
    """Return for each descriptor the position of the first one that shares its open file: often its own.

    Where the kernel does not tell (a seccomp filter, an uncommon processor), none are alike.

    Args:
        descriptors: open ones of this process.

    Raises:
        OSError: one is not open.
    """
    groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    result = []
    for position, number in enumerate(descriptors):
        status = os.fstat(number)
        earlier = groups[status.st_dev, status.st_ino]
        alike = next((other for other in earlier if _same_open_file(descriptors[other], number)), position)
        if alike == position:
            earlier.append(position)
        result.append(alike)
    return tuple(result)


def _same_open_file(one: int, other: int) -> bool:
    number = _KCMP.get(platform.machine())
    if number is None:
        return False
    pid = os.getpid()
    return bool(_libc.syscall(number, pid, pid, _KCMP_FILE, one, other) == 0)
