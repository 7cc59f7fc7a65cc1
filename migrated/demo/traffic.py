"""The unmodified programs of the demonstration, behind one interface."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from migrated.demo.flow import GapMeter
from migrated.lab import Host

_LISTEN = "0A"
_POLL_S = 0.05
_END_LIMIT_S = 10.0


class TrafficError(RuntimeError):
    """The programs could not be started; the message says why and what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How the transfer ended: what went in, what came out, and what the programs said.

    ``exit_status`` is the client program's; ``None`` if it did not end in time.
    """

    bytes: int
    sha256_equal: bool
    exit_status: int | None
    complaint: str


class Traffic(Protocol):
    """A client program and its server with data under way between them."""

    name: str
    description: str

    @property
    def received_bytes(self) -> int:
        """How much the client's side has received so far."""

    @property
    def flowing(self) -> bool:
        """Whether the transfer is still under way."""

    @property
    def meter(self) -> GapMeter:
        """The pauses in what the client's side receives."""

    def finish(self, timeout_s: float) -> Delivery:
        """Let the transfer end by itself and compare what came out with what went in."""

    def close(self) -> None:
        """End the client program if it still runs, and what reads from it."""


def await_listener(host: Host, port: int, server: subprocess.Popen[Any], log: Path, timeout_s: float) -> None:
    """Wait until a server of this host listens.

    Raises:
        TrafficError: it ended, or does not listen in time; the message has the last line of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not _listens(host, port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise TrafficError(f"the server does not listen on port {port}: {last_line(log)}")
        time.sleep(_POLL_S)


def _listens(host: Host, port: int) -> bool:
    # Looked up instead of tried: a connection of ours would be one more for the daemons to look after.
    rows = host.call(Path("/proc/thread-self/net/tcp").read_text).splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == _LISTEN for row in rows)


def last_line(log: Path) -> str:
    """Return the last line of a program's log that is not empty."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing"


def readable(stream: IO[bytes], timeout_s: float) -> bool:
    """Return whether something can be read, the end included, within the time."""
    return bool(select.select([stream], [], [], max(0.0, timeout_s))[0])


def exit_status(program: subprocess.Popen[Any]) -> int | None:
    """Wait for the end of a program that has said all; return its status, or ``None`` if it does not end."""
    try:
        return program.wait(_END_LIMIT_S)
    except subprocess.TimeoutExpired:
        return None


def start_first(choices: list[Callable[[], Traffic]], note: Callable[[str], None]) -> Traffic:
    """Start the first kind of traffic that can be; ``note`` hears why the others could not.

    Raises:
        TrafficError: none could be started.
    """
    for choice in choices[:-1]:
        try:
            return choice()
        except TrafficError as error:
            note(f"{error}; trying the next kind of traffic")
    return choices[-1]()
