"""Two hosts with two links, a daemon on each, and conversations between unmodified programs."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from migrated.lab import SERVER_V4, Access, Host, Lab, TwoLinks, two_links
from tests.migrated.e2e.daemons import POLICY, PROGRAM, Daemon

PROGRAMS = Path(__file__).parent / "programs"
LINKS = ("eth0", "ppp0")
PROGRESS_S = _END_S = 60.0
"""Nothing is measured by these, either."""

BUSY = ("does not answer over this link", "did not stop within")
"""Why a move is refused on a machine where an end is not scheduled for a while."""

BUSY_S = 2.0
"""After this time it is scheduled again."""

REPEATED_MAX = 5
"""Moves of an arena that may be asked for once more because an end was busy."""


class Program:
    """A running program whose lines of output are read as they come."""

    def __init__(self, host: Host, argv: list[str]) -> None:
        self.process = host.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._received = 0
        self.last = ""
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    @property
    def received(self) -> int:
        """How many bytes it says that it has received."""
        return self._received

    def line(self, pattern: str, timeout_s: float = PROGRESS_S) -> re.Match[str]:
        """Wait for its next line, which must match."""
        line = self._lines.get(timeout=timeout_s)
        found = re.fullmatch(pattern, line)
        assert found, line
        return found

    def await_received(self, more_than: int, timeout_s: float = PROGRESS_S) -> None:
        """Wait until it has received more than so many bytes."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._received > more_than or not self._reader.is_alive(), timeout_s
            )
        assert self._received > more_than, (arrived, self.process.args, self._received, self.last)

    def result(self, timeout_s: float = _END_S) -> tuple[int, str]:
        """Wait for its end, and return its status and its last line."""
        status = self.process.wait(timeout_s)
        self._reader.join(_END_S)
        return status, self.last

    def _read(self, stream: IO[str]) -> None:
        for raw in stream:
            line = raw.strip()
            with self._changed:
                self.last = line
                if line.startswith("received "):
                    self._received = int(line.split()[1])
                else:
                    self._lines.put(line)
                self._changed.notify_all()


class Conversation:
    """A client program and a server program that send each other numbered words (`programs/talker.py`)."""

    def __init__(self, client: Program, server: Program, peer: str) -> None:
        self.client = client
        self.server = server
        self.peer = peer
        self.session = ""

    def await_progress(self, timeout_s: float = PROGRESS_S) -> None:
        """Wait until both ends have received something that was sent from now on."""
        # What is under way now may be as much as the buffers hold, so one report is not enough.
        for program in (self.client, self.server):
            program.await_received(program.received, timeout_s)
        for program in (self.client, self.server):
            program.await_received(program.received, timeout_s)

    def stalled(self, for_s: float) -> bool:
        """Return whether neither end receives anything for a while."""
        before = self.client.received, self.server.received
        time.sleep(for_s)
        return before == (self.client.received, self.server.received)

    def finish(self) -> None:
        """Have both ends stop, and check that each received exactly what the other had sent."""
        self.client.process.send_signal(signal.SIGUSR1)
        results = self.client.result(), self.server.result()
        for status, said in results:
            assert status == 0, results
            assert said.startswith("right "), results


class Arena:
    """The two-link network of the lab, with a daemon on the client and one on the server."""

    def __init__(
        self,
        folder: Path,
        *,
        rtt_s: float = 0.0,
        policy: str = POLICY,
        peer_has_daemon: bool = True,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._folder = folder
        self._rtt_s = rtt_s
        self._policy = policy
        self._program = program
        self._peer_has_daemon = peer_has_daemon
        self._ports = count(2001)
        self._lab = Lab()
        self.repeated = 0

    def __enter__(self) -> Self:
        self._lab.__enter__()
        try:
            self.net = two_links(self._lab, names=LINKS, rtt_s=self._rtt_s)
            self.here = Daemon(self.net.client, self._folder / "client", self._policy, self._program)
            self.there = Daemon(self.net.server, self._folder / "server", self._policy, self._program)
            for daemon in (self.there, self.here) if self._peer_has_daemon else (self.here,):
                daemon.start()
        except BaseException:
            self._lab.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for daemon in (self.here, self.there):
            if daemon.running:
                daemon.stop()
        self._lab.__exit__(kind, error, trace)
        self._save_logs()

    @property
    def links(self) -> list[Access]:
        """The client's links."""
        return self.net.links

    def link(self, name: str) -> Access:
        """Return one of the client's links."""
        return next(link for link in self.links if link.interface == name)

    def talk(
        self,
        style: str = "threads",
        *,
        address: str = SERVER_V4,
        listen: str = "",
        port: int | None = None,
        server_style: str = "threads",
        bytes_per_s: float = 2e6,
    ) -> Conversation:
        """Start a conversation that the daemons are not waited for."""
        number = str(next(self._ports) if port is None else port)
        talker = [sys.executable, str(PROGRAMS / "talker.py")]
        rate = str(bytes_per_s)
        server = Program(self.net.server, [*talker, server_style, "listen", listen or address, number, rate])
        number = server.line(r"listening (\d+)")[1]
        client = Program(self.net.client, [*talker, style, "connect", address, number, rate])
        client.line("connected")
        server.line("connected")
        written = f"[{address}]" if ":" in address else address
        return Conversation(client, server, f"{written}:{number}")

    def adopted(self, conversation: Conversation) -> Conversation:
        """Wait until both daemons have made a session of a conversation."""
        conversation.session = self.here.await_event("adopted", peer=conversation.peer).fields["session"]
        self.there.await_event("adopted", session=conversation.session)
        return conversation

    def session_of(self, style: str = "threads", **options: object) -> Conversation:
        """Start a conversation and wait until it is a session."""
        return self.adopted(self.talk(style, **options))  # type: ignore[arg-type]

    def move(self, conversation: Conversation, link: str, progress_s: float = PROGRESS_S) -> None:
        """Move a conversation by hand, and wait until it has moved and carries data."""
        mark_there = self.there.mark()
        self.move_session(conversation.session, link)
        self.there.await_event("followed", since=mark_there, session=conversation.session)
        conversation.await_progress(progress_s)

    def move_session(self, session: str, link: str) -> None:
        """Move a session by hand, and wait until it has moved; an end that was busy is asked once more."""
        if not self._moves(session, link):
            self.repeated += 1
            assert self.repeated <= REPEATED_MAX, "as many are hardly all the fault of a busy machine"
            time.sleep(BUSY_S)
            assert self._moves(session, link), f"session {session} did not move to {link}, asked twice"

    def other_link(self, conversation: Conversation) -> str:
        """Return the link where a conversation is not."""
        here = self.here.session(conversation.session).link
        return next(name for name in LINKS if name != here)

    def move_around(self, conversation: Conversation, times: int, progress_s: float = PROGRESS_S) -> None:
        """Move a conversation to and fro."""
        for _ in range(times):
            self.move(conversation, self.other_link(conversation), progress_s)

    def heal(self) -> None:
        """Leave the links whole, whatever was done to them."""
        heal(self.net)

    def _moves(self, session: str, link: str) -> bool:
        """Move a session by hand; return whether it has moved, or an end was too busy for it."""
        mark = self.here.mark()
        self.here.move(session, link)
        told = self.here.await_event("moved", "resumed", "refused", since=mark, session=session)
        if told.name == "refused":
            assert any(word in told.fields["reason"] for word in BUSY), told
            return False
        # A peer that does not answer for 2 s is left for the link before.
        by_hand = any(reason.startswith("by hand") for reason in told.fields["because"])
        assert told.fields["to"] == link or not by_hand, told
        return bool(told.fields["to"] == link)

    def _save_logs(self) -> None:
        for daemon in (self.here, self.there):
            (daemon.folder / "daemon.log").write_text("".join(daemon.lines))


def heal(net: TwoLinks) -> None:
    """Plug every cable in and give every link its addresses and routes, whatever a test has left of them."""
    for link in net.links:
        link.plug()
        link.deliver()
        if not _is_whole(net.client, link):
            for family in ("-4", "-6"):
                net.client.show(family, "route", "flush", "default", "dev", link.interface)
                net.client.show(family, "address", "flush", "dev", link.interface, "scope", "global")
            link.configure()


def _is_whole(client: Host, link: Access) -> bool:
    (shown,) = client.show("address", "show", "dev", link.interface)
    routes = [
        client.show(family, "route", "show", "default", "dev", link.interface) for family in ("-4", "-6")
    ]
    return {link.v4, link.v6} <= {entry["local"] for entry in shown["addr_info"]} and all(routes)
