"""How soon a cable that is cut is reported by its monitor, and decided about.

All times are of one clock, the machine's. A cut is the call that takes the far end of the cable down: what
the program `ip` would need to start is no part of it.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from _figures import Summary, progress, summary
from _stage import ADOPTED_PORT, BenchmarkError, Running, Stage

from migrated.control.client import UnreachableError, watch
from migrated.control.messages import EventReport
from migrated.control.observations import Events
from migrated.lab import SERVER_V4, Access

AIM_DECISION_MS = 5.0
"""Median."""

_IDLE = Path(__file__).with_name("_idle.py")
_CALM_S = 0.15
"""Seconds between what a cut has led to and the next one."""

_REPORT_LIMIT_S = 60.0
_EVERY = 20

# Source: netdevice(7).
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_IFREQ = struct.Struct("16sH14x8x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """Milliseconds from a cut.

    Attributes:
        report: to the report of the client's carrier monitor.
        decision: to the decision that the session moves.
        moved: to the end of its move, when both ends' sockets are on the other link.
    """

    report: Summary
    decision: Summary
    moved: Summary


def measure_cuts(stage: Stage, count: int) -> Reaction:
    """Cut the cable that a session uses, so many times.

    Raises:
        BenchmarkError: the session did not move, or the monitor reported nothing.
    """
    marks = stage.marks()
    program = [sys.executable, "-I", str(_IDLE)]
    server = Running(stage.net.server, [*program, "listen", str(ADOPTED_PORT)])
    client = None
    try:
        server.await_ready()
        client = Running(stage.net.client, [*program, "connect", SERVER_V4, str(ADOPTED_PORT), "1"])
        session = stage.await_adopted(marks)
        reports = _Reports(stage)
        rows = []
        for number in range(count):
            rows.append(_cut(stage, reports, session, stage.net.links[number % 2]))
            if (number + 1) % _EVERY == 0:
                progress(f"{number + 1} of {count} cuts")
        report, decision, moved = (summary(column) for column in zip(*rows, strict=True))
        return Reaction(report=report, decision=decision, moved=moved)
    finally:
        if client is not None:
            client.close()
        server.close()


class Shears:
    """Take an interface of another namespace down, with nothing to be started for it."""

    def __init__(self, link: Access) -> None:
        self._ports = link.cable.ports
        self._sock = link.cable.wire.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def cut(self) -> float:
        """Take both ends down and return when that began, in seconds since the epoch."""
        begun = time.time()
        for port in self._ports:
            _, flags = _IFREQ.unpack(fcntl.ioctl(self._sock, _SIOCGIFFLAGS, _IFREQ.pack(port.encode(), 0)))
            fcntl.ioctl(self._sock, _SIOCSIFFLAGS, _IFREQ.pack(port.encode(), flags & ~_IFF_UP))
        return begun

    def close(self) -> None:
        self._sock.close()


class _Reports:
    """Hears what the client's carrier monitor reports."""

    def __init__(self, stage: Stage) -> None:
        self._socket = stage.client.folder / "control.sock"
        self._heard: list[EventReport] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        self.first(lambda _event: True)  # the latest one, which comes when it is listened to

    def first(self, fits: Callable[[EventReport], bool]) -> EventReport:
        """Return the first event that fits, when there is one."""
        found: list[EventReport] = []

        def heard() -> bool:
            found.extend(filter(fits, self._heard))
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(heard, _REPORT_LIMIT_S):
                raise BenchmarkError("the carrier monitor reported nothing")
        return found[0]

    def _listen(self) -> None:
        try:
            for event in watch(self._socket, Events(count=1, monitors=("carrier",), follow=True)):
                with self._changed:
                    self._heard.append(event)
                    self._changed.notify_all()
        except UnreachableError:
            return  # it has ended


def _cut(stage: Stage, reports: _Reports, session: str, link: Access) -> tuple[float, float, float]:
    """Cut a link, plug it in again, and return the milliseconds to report, decision and end of the move."""
    mark = len(stage.client.events)
    shears = Shears(link)
    try:
        cut = shears.cut()
        moved = stage.client.await_event("moved", mark, session=session)
        moving = stage.client.await_event("moving", mark, session=session, came_from=link.interface)
        lost = {"interface": link.interface, "carrier": False}.items()
        report = reports.first(lambda event: event.time > cut and lost <= event.fields.items())
    finally:
        shears.close()
        link.plug()
    stage.client.await_event("link-up", mark, link=link.interface)
    stage.net.client.ip(f"neigh flush dev {link.interface}")
    time.sleep(_CALM_S)
    return (report.time - cut) * 1e3, (moving.time - cut) * 1e3, (moved.time - cut) * 1e3


def print_cuts(found: Reaction) -> None:
    print("\nfrom a cable's being cut, in ms")
    print(f"  {'':40}{'median':>9} {'p99':>9} {'max':>9}   aim (median)")
    print(f"  {'the monitor reports it':40}{found.report}")
    print(f"  {'the session is to move':40}{found.decision}   {AIM_DECISION_MS:g}")
    print(f"  {'the session has moved':40}{found.moved}")
