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
    """Press ^C, once more if need be, and return the exit status.

    Python does not hear of a signal that comes between its last look for one and a wait without bound until
    that wait is over (one in some thousands, on a busy machine).

    Raises:
        subprocess.TimeoutExpired: it goes on all the same.
    """
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.wait(_PATIENCE_S)


_PATIENCE_S = 10.0
