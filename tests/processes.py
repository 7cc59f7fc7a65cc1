"""Programs that a test runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import AnyStr


@contextmanager
def killed_at_last(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """Kill a process when the block ends, however it does; by itself `Popen` waits for one that goes on."""
    with process:
        try:
            yield process
        finally:
            process.kill()
