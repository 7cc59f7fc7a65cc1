"""Two hosts, two links, and a daemon on each host, with everything that the daemons report."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from migrated.control.client import UnreachableError, request, watch
from migrated.control.messages import Answer, EventReport, Request, Status
from migrated.lab import Access, Host, Lab, two_links

ADOPTED_PORT = 5201
NATIVE_PORT = 5202
"""A port that policy leaves alone."""

LINKS = ("eth0", "ppp0")
POLICY = f"monitor-policy {{ score-interface * 10 on proto tcp on port {ADOPTED_PORT} adopt }}\n"

CONGESTION_CONTROL = "reno"
"""Of all connections, ours and others. MPTCP does best with it: with bbr it stalls where nothing is cut."""

_TRAFFIC = Path(__file__).with_name("_traffic.py")
_LIMIT_S = 60.0
_POLL_S = 0.002


class BenchmarkError(RuntimeError):
    """What was to be measured did not happen; the message says what."""


class Daemon:
    """A running daemon. ``events`` grows while it runs; ``started_s`` is how long it took to answer.

    Its state is in ``folder / "state"``, its sockets are in ``folder``.
    """

    def __init__(self, host: Host, folder: Path, policy: str) -> None:
        self.host = host
        self.events: list[EventReport] = []
        self._changed = threading.Condition()
        self.folder = folder
        self._log = folder / "log"
        configuration = _write_configuration(folder, policy)
        command = [sys.executable, "-m", "migrated", "--config", str(configuration), "--log-level", "warning"]
        begun = time.perf_counter()
        with self._log.open("wb") as log:
            self.process = host.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._await_answer()
        self.started_s = time.perf_counter() - begun
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, message: Request) -> Answer:
        """Ask the daemon one thing."""
        return request(self.folder / "control.sock", message)

    def await_event(
        self, name: str, since: int, *, timeout_s: float = _LIMIT_S, **fields: object
    ) -> EventReport:
        """Wait for an event of this name with these fields, not among the first ``since``.

        Raises:
            BenchmarkError: it did not come.
        """

        return self.await_events(name, since, 1, timeout_s=timeout_s, **fields)[0]

    def await_events(
        self, name: str, since: int, count: int, *, timeout_s: float = _LIMIT_S, **fields: object
    ) -> list[EventReport]:
        """Wait for so many events of this name with these fields, not among the first ``since``.

        Raises:
            BenchmarkError: they did not come.
        """
        found: list[EventReport] = []

        def enough() -> bool:
            nonlocal since
            wanted = fields.items()
            found.extend(e for e in self.events[since:] if e.event == name and wanted <= e.fields.items())
            since = len(self.events)
            return len(found) >= count

        first = since
        with self._changed:
            if self._changed.wait_for(enough, timeout_s):
                return found
        happened = [f"{e.event} {e.fields}" for e in self.events[first:]][-20:]
        raise BenchmarkError(
            f"the daemon of {self.host.name} reported {len(found)} of {count} `{name}` {fields}, "
            f"and at last {happened}\n{self._log.read_text()[-2000:]}"
        )

    def close(self) -> None:
        """End the daemon."""
        self.process.terminate()
        self.process.wait(5)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _LIMIT_S
        while True:
            try:
                self.ask(Status())
                return
            except UnreachableError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError(f"a daemon does not start: {self._log.read_text()}") from error
                time.sleep(_POLL_S)

    def _listen(self) -> None:
        try:
            for event in watch(self.folder / "control.sock"):
                with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        except UnreachableError:
            return  # it has ended


class Stage:
    """The lab with both daemons, for the length of a ``with`` block."""

    def __init__(self, *, rtt_s: float = 0.0, policy: str = POLICY) -> None:
        self.rtt_s = rtt_s
        self._policy = policy
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="migrate-bench-")))
            lab = self._stack.enter_context(Lab())
            self.net = two_links(lab, names=LINKS, rtt_s=self.rtt_s)
            for host in (self.net.client, self.net.server):
                host.sysctl("net.ipv4.tcp_congestion_control", CONGESTION_CONTROL)
            self.client = self._daemon(self.net.client, folder / "client")
            self.server = self._daemon(self.net.server, folder / "server")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def marks(self) -> tuple[int, int]:
        """Return how many events client and server have reported."""
        return len(self.client.events), len(self.server.events)

    def await_adopted(self, marks: tuple[int, int]) -> str:
        """Wait until both daemons have adopted a connection, and return the session's name."""
        event = self.client.await_event("adopted", marks[0])
        self.server.await_event("adopted", marks[1], session=event.fields["session"])
        return str(event.fields["session"])

    @contextmanager
    def cut(self, link: Access) -> Iterator[None]:
        """Cut a link; plug it in again afterwards, and wait until the client's daemon knows."""
        link.cut()
        try:
            yield
        finally:
            mark = len(self.client.events)
            link.plug()
        self.client.await_event("link-up", mark, link=link.interface)
        # The kernel asks once a second for a neighbour that did not answer while the cable was cut.
        self.net.client.ip(f"neigh flush dev {link.interface}")

    def _daemon(self, host: Host, folder: Path) -> Daemon:
        daemon = Daemon(host, folder, self._policy)
        self._stack.callback(daemon.close)
        return daemon


class Running:
    """A program that runs on a host. ``on_line`` gets each line that it says, on another thread."""

    def __init__(
        self,
        host: Host,
        argv: Sequence[str],
        *,
        on_line: Callable[[str], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._ready = threading.Event()
        self._on_line = on_line
        self.process = host.popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )
        self._name = " ".join(argv)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def await_ready(self, limit_s: float = _LIMIT_S) -> None:
        """Wait until it listens, or is connected.

        Raises:
            BenchmarkError: it is not in time.
        """
        if not self._ready.wait(limit_s):
            raise BenchmarkError(f"`{self._name}` did not get ready")

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "ready\n":
                self._ready.set()
            elif self._on_line is not None:
                self._on_line(line)


class Program(Running):
    """A running ``_traffic.py``."""

    def __init__(self, host: Host, *words: str, on_line: Callable[[str], None] | None = None) -> None:
        super().__init__(host, [sys.executable, "-I", str(_TRAFFIC), *words], on_line=on_line)


def _write_configuration(folder: Path, policy: str) -> Path:
    folder.mkdir()
    (folder / "bench.policy").write_text(policy)
    path = folder / "migrated.toml"
    path.write_text(
        'policy = ["bench.policy"]\nstate_folder = "state"\nruntime_folder = "."\nplugins = false\n'
    )
    return path
