"""A daemon under test: started, killed and started again, asked and listened to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from migrated.config import SOCKET_NAME
from migrated.control.client import RefusedError, request
from migrated.control.messages import (
    Answer,
    Move,
    PeerReport,
    Request,
    SessionList,
    SessionReport,
    Sessions,
    Status,
    StatusReport,
)
from migrated.lab import Host

POLICY = """\
monitor-policy {
    score-interface * 1
    on proto tcp {
        adopt
        on port 7999 adopt never
    }
    settle 300ms
}
"""
"""All links are worth the same, so that a session stays where a test has moved it."""

PROGRAM = ("-m", "migrated")
LOG_LEVEL = "info"
START_S = EVENT_S = END_S = 60.0
"""Nothing is measured by these: they end a test that would wait for ever, on a busy machine too."""

ADOPTED_S = 25.0
"""Less than the time after which a connection is offered again that was refused (`migrated/adopt.py`)."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the daemon reported, and at which place in the order of its reports."""

    number: int
    name: str
    fields: dict[str, Any]


class Daemon:
    """One host's daemon. What it reports is read from its log, which misses nothing."""

    def __init__(
        self, host: Host, folder: Path, policy: str = POLICY, program: Sequence[str] = PROGRAM
    ) -> None:
        self.host = host
        self.folder = folder
        self.socket = folder / "run" / SOCKET_NAME
        self.events: list[Event] = []
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        folder.mkdir()
        (folder / "test.policy").write_text(policy)
        self.configure("")

    def configure(self, more: str, *, plugins: bool = False) -> None:
        """Write the configuration; it counts at the next start."""
        text = 'policy = ["test.policy"]\nstate_folder = "state"\nruntime_folder = "run"\n'
        (self.folder / "migrated.toml").write_text(f"{text}plugins = {str(plugins).lower()}\n{more}")

    def start(self, *options: str) -> None:
        """Start it, with further options, and wait until it works."""
        mark = self.mark()
        arguments = [
            "--config",
            str(self.folder / "migrated.toml"),
            "--log-level",
            LOG_LEVEL,
            "--log-format",
            "json",
            *options,
        ]
        self._process = self.host.popen(
            [sys.executable, *self._program, *arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        self.await_event("started", since=mark, timeout_s=START_S)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as an administrator does, and return its exit status."""
        return self._end(signal.SIGTERM)

    def hang_up(self) -> None:
        """Have it read its policy again whether or not that has changed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Have it do nothing for a while, as if it were at work on something else."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def ask(self, message: Request) -> Answer:
        """Ask it over its control socket."""
        return request(self.socket, message)

    def status(self) -> StatusReport:
        """Return how it is."""
        report = self.ask(Status())
        assert isinstance(report, StatusReport)
        return report

    def peers(self) -> tuple[PeerReport, ...]:
        """Return the daemons that it is associated with."""
        return self.status().peers

    def session(self, name: str) -> SessionReport:
        """Return a session by the beginning of its id."""
        return next(session for session in self.sessions() if session.id.startswith(name))

    def sessions(self) -> tuple[SessionReport, ...]:
        """Return all sessions."""
        report = self.ask(Sessions())
        assert isinstance(report, SessionList)
        return report.sessions

    def move(self, session: str, link: str) -> None:
        """Have it move a session."""
        self.ask(Move(session=session, link=link))

    def ask_to_move(self, session: str, link: str) -> None:
        """Ask it to move a session if that is possible now."""
        with suppress(RefusedError):
            self.move(session, link)

    def mark(self) -> int:
        """Return a number that later events are not below."""
        with self._changed:
            return len(self.events)

    def since(self, mark: int, name: str, **fields: object) -> list[Event]:
        """Return the events of a name, with these fields, since a mark."""
        with self._changed:
            return [event for event in self.events[mark:] if _fits(event, (name,), fields)]

    def await_event(
        self,
        *names: str,
        since: int = 0,
        timeout_s: float | None = None,
        count: int = 1,
        **fields: object,
    ) -> Event:
        """Wait for the ``count``-th event of one of these names, with these fields, since a mark."""
        patience_s = ADOPTED_S if names == ("adopted",) else EVENT_S
        deadline = time.monotonic() + (patience_s if timeout_s is None else timeout_s)
        with self._changed:
            while True:
                found = [event for event in self.events[since:] if _fits(event, names, fields)]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                if left <= 0 or (not self.running and not self._reader.is_alive()):
                    raise AssertionError(self._missing(names, fields, len(found), count))
                self._changed.wait(min(left, 0.5))

    def await_line(self, beginning: str, *, since: int, timeout_s: float = EVENT_S) -> str:
        """Wait for a line of its log that begins so, since a mark, and return it."""
        found: list[str] = []

        def heard() -> bool:
            found.extend(e.name for e in self.events[since:] if e.name.startswith(beginning))
            return bool(found)

        with self._changed:
            assert self._changed.wait_for(heard, timeout_s), f"`{beginning}` was not said"
        return found[0]

    def complaints(self) -> list[str]:
        """Return lines of its log that are a fault of its own."""
        return [line for line in self.lines if '"level": "error"' in line or "Traceback" in line]

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(END_S)
        self._reader.join(END_S)
        return status

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                self.lines.append(line)
                if line.startswith("{"):
                    told = json.loads(line)
                    self.events.append(Event(len(self.events), told["event"], told["fields"]))
                self._changed.notify_all()

    def _missing(self, names: tuple[str, ...], fields: dict[str, object], found: int, count: int) -> str:
        last = "".join(line for line in self.lines if '"logger": "migrated' in line or '"error"' in line)[
            -4000:
        ]
        wanted = f"{' or '.join(names)} {fields}"
        return f"{self.host.name}: {found} of {count} events {wanted}; its log ends with\n{last}"


def _fits(event: Event, names: tuple[str, ...], fields: dict[str, object]) -> bool:
    return event.name in names and all(event.fields.get(key) == value for key, value in fields.items())
