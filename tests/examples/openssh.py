"""OpenSSH's client as it is, driven by a test; and programs whose lines a test waits for."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 60.0
"""After this a test fails; nothing here takes as long, also on a busy machine."""

_QUIET: Final = {
    "BatchMode": "yes",
    "IdentitiesOnly": "yes",
    "LogLevel": "ERROR",
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
}


class Output:
    """What a program says, as far as the test has waited for it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._unread = b""

    @classmethod
    def of(cls, process: subprocess.Popen[bytes]) -> Output:
        """Return that of a process with a pipe."""
        assert process.stdout is not None
        return cls(process.stdout.fileno())

    def until(self, end: bytes) -> bytes:
        """Return everything up to and with ``end``."""
        deadline = time.monotonic() + PATIENCE_S
        while end not in self._unread:
            more = self._more(deadline)
            assert more, f"ended before {end!r}: {self._unread[-500:]!r}"
            self._unread += more
        found, _, self._unread = self._unread.partition(end)
        return found + end

    def take(self, size: int) -> bytes:
        """Return the next so many bytes."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self._unread) < size:
            more = self._more(deadline)
            assert more, f"ended after {len(self._unread)} of {size} bytes"
            self._unread += more
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    def rest(self) -> bytes:
        """Return everything up to the end."""
        deadline = time.monotonic() + PATIENCE_S
        pieces = [self._unread]
        while more := self._more(deadline):
            pieces.append(more)
        return b"".join(pieces)

    def line(self) -> str:
        """Return the next line."""
        return self.until(b"\n").decode().strip()

    def _more(self, deadline: float) -> bytes:
        left_ms = max(0.0, deadline - time.monotonic()) * 1000
        assert self._poll.poll(left_ms), f"nothing more within {PATIENCE_S} s after {self._unread[-500:]!r}"
        try:
            return os.read(self._descriptor, 1 << 20)
        except OSError:  # EIO: a terminal without anybody at its other end
            return b""


@dataclass(frozen=True)
class Keys:
    """Where the host's key, the user's key and the list of authorized ones are."""

    host: Path
    user: Path
    authorized: Path

    @classmethod
    def make(cls, folder: Path) -> Keys:
        """Generate new ones."""
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name],
                check=True,
                timeout=PATIENCE_S,
            )
        return cls(folder / "host", folder / "user", folder / "user.pub")

    def server(self, module: str, *arguments: str) -> list[str]:
        """Return the command line of one of the example servers."""
        keys = ["--host-key", str(self.host), "--authorized-keys", str(self.authorized)]
        return [sys.executable, "-m", module, *keys, *arguments]

    def client(self, port: int, *arguments: str, host: str = "127.0.0.1") -> list[str]:
        """Return the command line of ssh(1)."""
        quiet = [f"-o{name}={value}" for name, value in _QUIET.items()]
        identity = ["-F", "none", "-i", str(self.user), "-p", str(port)]
        return ["ssh", *identity, *quiet, host, *arguments]
