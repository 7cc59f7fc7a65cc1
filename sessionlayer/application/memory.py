"""Memory files: how a continuation travels in one descriptor."""

from __future__ import annotations

import fcntl
import os
from typing import Final

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_NAME: Final = "migrate-continuation"


def write_memory(data: bytes) -> int:
    """Return a new descriptor of a memory file that holds ``data`` and can't be changed any more.

    Source: memfd_create(2), fcntl(2) "File Sealing".

    Raises:
        OSError: there is no memory or no descriptor left.
    """
    descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_memory(descriptor: int, limit: int) -> bytes:
    """Return what a memory file holds, wherever its file offset is.

    Raises:
        ValueError: it holds more than ``limit`` bytes.
        OSError: it can't be read.
    """
    size = os.fstat(descriptor).st_size
    if size > limit:
        raise ValueError(f"a continuation of {size} bytes is larger than {limit}")
    return os.pread(descriptor, size, 0)
