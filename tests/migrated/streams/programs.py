"""The `migrate` command as a program of its own, and what it says on standard error."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

WAIT_S = 60.0
MIGRATE = [sys.executable, "-c", "from migrated.commands import main; main()"]
ORDINARY = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "--"]
"""Take every capability from a program of root's."""

Popen = Callable[..., "subprocess.Popen[Any]"]


class Home:
    """The folders of one user."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state" / "migrate"
        self.config = folder / "config" / "migrate"
        self.environment = {
            "XDG_STATE_HOME": str(self.state.parent),
            "XDG_CONFIG_HOME": str(self.config.parent),
        }
        self.config.mkdir(parents=True)

    def let_in(self, *lines: str) -> None:
        """Write the file of keys that a gateway lets in."""
        (self.config / "authorized_keys").write_text("".join(f"{line}\n" for line in lines))


class Program:
    """A running `migrate` command."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: dict[str, str],
        *,
        popen: Popen = subprocess.Popen,
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        defaults: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self.process = popen([*prefix, *MIGRATE, *arguments], env=environment, **(defaults | options))
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def line(self, pattern: str, *, since: int = 0) -> re.Match[str]:
        """Wait for a line in which a pattern is found."""
        deadline = time.monotonic() + WAIT_S
        with self._changed:
            while True:
                for line in self.lines[since:]:
                    if found := re.search(pattern, line):
                        return found
                left = deadline - time.monotonic()
                assert left > 0, f"no {pattern!r} in {self.lines[since:]}"
                assert self._reader.is_alive(), f"it ended without {pattern!r}: {self.lines[since:]}"
                self._changed.wait(min(left, 0.5))

    def event(self, name: str, *, since: int = 0) -> dict[str, Any]:
        """Wait for an event in the log of a program that was started with `--json`."""
        line = self.line(f'"event": "{name}"', since=since).string
        fields: dict[str, Any] = json.loads(line)["fields"]
        return fields

    def mark(self) -> int:
        """Return a number for ``since``."""
        with self._changed:
            return len(self.lines)

    def end(self, number: int) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Return the exit status; all lines are there then."""
        status = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            with self._changed:
                self.lines.append(line.decode().rstrip("\n"))
                self._changed.notify_all()
