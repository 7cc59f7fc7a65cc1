"""A host at the far end of a cable, in a network namespace of its own, for scenarios.

It listens and never reads: what is sent to it is acknowledged by its kernel as long as the cable is whole.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.processes import killed_at_last

_PROGRAM = """
import socket, subprocess, sys
listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=100)
print(listener.getsockname()[1], flush=True)
for command in sys.stdin:
    subprocess.run(["ip", *command.split()], check=True)
    print(flush=True)
"""


class Neighbour:
    """A running neighbour; ``port`` is the one that it listens on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.port = int(self._answer())

    def ip(self, command: str) -> None:
        """Run an ``ip`` command there."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, "the neighbour has ended"
        return answer


@contextmanager
def neighbour() -> Iterator[Neighbour]:
    """Run a neighbour."""
    command = ["unshare", "--net", sys.executable, "-c", _PROGRAM]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with killed_at_last(started) as process:
        yield Neighbour(process)
