"""The example's shell server on the benchmarks' stage, with OpenSSH's client."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from _stage import BenchmarkError, Running, Stage
from _suspending import LIMIT_S, PORT, STAMPED, Program

from migrated.lab import SERVER_V4

_OPTIONS = (
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "LogLevel=ERROR",
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "ConnectionAttempts=10",
)
_LOOP = "exec bash -c 'while :; do echo $EPOCHREALTIME; sleep 0.05; done'"
"""What runs in the shell: each line says when it was written."""


def shell_server(stage: Stage) -> Program:
    """Return the suspendable shell server, with keys of its own."""
    return Program(argv=(*STAMPED, "-m", "examples.shell_server.suspendable", *_arguments(stage)), forks=True)


def plain_shell_server(stage: Stage) -> Program:
    """Return the shell server that knows nothing of Migrate, with the same keys."""
    return Program(argv=(sys.executable, "-m", "examples.shell_server.plain", *_arguments(stage)), forks=True)


def _arguments(stage: Stage) -> tuple[str, ...]:
    folder = stage.server.folder
    for name in ("host_key", "user_key"):
        if not (folder / name).exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
    keys = ("--host-key", str(folder / "host_key"), "--authorized-keys", str(folder / "user_key.pub"))
    return (*keys, "--port", PORT)


class Shells:
    """So many of OpenSSH's clients with a terminal each."""

    def __init__(self, stage: Stage, count: int = 1) -> None:
        self._clients = [Ssh(stage) for _ in range(count)]
        self._heard: dict[str, Ssh] = {}

    def heard(self, port: str, index: str, after: float) -> float:
        """Return when a client heard its shell again.

        Which client it is does not matter, only that each is asked for one port: the figures are sums
        over all of them, and extremes.

        Raises:
            BenchmarkError: it did not.
        """
        if port not in self._heard:
            self._heard[port] = self._clients[len(self._heard)]
        return self._heard[port].heard(port, index, after)

    def close(self) -> None:
        """End them all."""
        for client in self._clients:
            client.close()


class Ssh:
    """OpenSSH's client with a terminal, in whose shell a program goes on writing whoever serves it."""

    def __init__(self, stage: Stage) -> None:
        self._lines: list[tuple[float, float]] = []
        self._changed = threading.Condition()
        _await_listening(stage)
        key = ["-F", "none", "-i", str(stage.server.folder / "user_key"), "-p", PORT]
        command = ["ssh", "-tt", *key, *(f"-o{option}" for option in _OPTIONS), SERVER_V4, _LOOP]
        self._program = Running(stage.net.client, command, on_line=self._hear)

    def heard(self, port: str, index: str, after: float) -> float:
        """Return when the first line arrived that was written after the session had been given up.

        Raises:
            BenchmarkError: none arrived.
        """
        del port, index  # it has one connection, and no numbers
        found: list[float] = []

        def arrived() -> bool:
            found[:] = [at for at, written in self._lines if written > after]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(arrived, LIMIT_S):
                raise BenchmarkError("nothing that the shell wrote meanwhile arrived")
        return found[0]

    def close(self) -> None:
        """End it."""
        self._program.close()

    def _hear(self, line: str) -> None:
        with self._changed:
            self._lines.append((time.time(), float(line)))
            self._changed.notify_all()


def _await_listening(stage: Stage) -> None:
    """Wait until somebody listens, because ssh(1) tries again only after a second."""
    deadline = time.monotonic() + LIMIT_S
    port = f":{int(PORT):04X}"
    pid = stage.server.process.pid
    while True:
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
        rows = [row.split() for table in tables for row in table.splitlines()[1:]]
        if any(row[1].endswith(port) and row[3] == "0A" for row in rows):
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"nobody listens on port {PORT}")
        time.sleep(0.02)
