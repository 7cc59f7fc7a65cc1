"""One `migrated` of the demonstration: its configuration, its process, what it reports."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from migrated.config import SOCKET_NAME
from migrated.control.client import UnreachableError, request, watch
from migrated.control.messages import EventReport, Status
from migrated.lab import Host

_START_LIMIT_S = 15.0
_STOP_LIMIT_S = 3.0
_POLL_S = 0.05

_CONFIGURATION = """\
policy = {policies}
state_folder = {state}
runtime_folder = {runtime}
plugins = false
"""


class StageError(RuntimeError):
    """A daemon does not start; the message has what it said last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the daemon of a host reported."""

    host: str
    report: EventReport


class Daemon:
    """A running daemon; ``close`` ends it."""

    def __init__(self, host: Host, folder: Path, log: Path, policies: tuple[Path, ...]) -> None:
        """Write its configuration and start it.

        Raises:
            OSError: a file cannot be written or no process can be made.
        """
        self.host = host.name
        self.log = log
        self._socket = folder / "run" / SOCKET_NAME
        self._thread: threading.Thread | None = None
        configuration = _write_configuration(folder, policies)
        command = [sys.executable, "-m", "migrated", "--config", str(configuration)]
        with log.open("wb") as file:
            self._process = host.popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def listen(self, heard: queue.SimpleQueue[Heard]) -> None:
        """Wait until the daemon answers, and put what it reports from now on into the queue.

        Raises:
            StageError: it ended, or does not answer in time.
        """
        deadline = time.monotonic() + _START_LIMIT_S
        while not _answers(self._socket):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StageError(f"the daemon of the {self.host} does not start:\n{tail(self.log)}")
            time.sleep(_POLL_S)
        self._thread = threading.Thread(target=self._follow, args=(heard,), daemon=True)
        self._thread.start()

    def _follow(self, heard: queue.SimpleQueue[Heard]) -> None:
        with suppress(UnreachableError):  # raised when the daemon has ended
            for report in watch(self._socket):
                heard.put(Heard(host=self.host, report=report))

    def close(self) -> None:
        """Ask the daemon to end, and wait for it and for the last of its reports."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        if self._thread is not None:
            self._thread.join()


def tail(log: Path, lines: int = 12) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _write_configuration(folder: Path, policies: tuple[Path, ...]) -> Path:
    (folder / "run").mkdir(parents=True)
    path = folder / "migrated.toml"
    # Strings and lists of strings look the same in JSON and in TOML.
    path.write_text(
        _CONFIGURATION.format(
            policies=json.dumps([str(policy) for policy in policies]),
            state=json.dumps(str(folder / "state")),
            runtime=json.dumps(str(folder / "run")),
        )
    )
    return path


def _answers(path: Path) -> bool:
    try:
        request(path, Status())
    except UnreachableError:
        return False
    return True
