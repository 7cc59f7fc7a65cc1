"""Programs that a test runs."""

from __future__ import annotations

import signal
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


def interrupted(process: subprocess.Popen[AnyStr]) -> int:
    """Press ^C, and return the exit status.

    Raises:
        subprocess.TimeoutExpired: it goes on all the same.
    """
    process.send_signal(signal.SIGINT)
    return process.wait(_PATIENCE_S)


_PATIENCE_S = 60.0
