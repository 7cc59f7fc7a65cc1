"""The tcp monitor: how the sessions' connections fare, by what their own TCP knows.

The paper takes the retransmission timer for a connection's health: it stands for every segment that was sent
and not answered. Rules:

* A connection that retransmits is *in trouble*. While one is, all are read four times a second.
* Else all are read once a second, if they are few. Of many it is only looked then whether the kernel's count
  of time-outs, of the whole host, has grown; if not, they are read every 5 s, for what else may change.
* Nothing is read while there are no connections.
* ``retransmits`` is reported whenever it changes, the others when they are 10 % away from what was reported.
* The word of trouble is good for 3 s, and repeated, so that a dead monitor keeps no link in disrepute. The
  word of a calm connection holds until the next.
* Details change all the time on a busy connection: they are reported every 5 s at most.

Source: the Migrate paper, section V-E; RFC 6298; tcp(7), ``TCP_INFO``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from monitors.diag import TcpDetails
from monitors.events import FactMeasured
from monitors.facts import RETRANSMITS, RTO, Fact, FactType, Subject
from monitors.settings import read
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import Surroundings, WatchedConnection
from monitors.tcp_readers import Reader, Reading, count_timeouts, open_reader

TROUBLE_S: Final = 0.25
"""Seconds between two readings while anything is in trouble."""

CALM_S: Final = 1.0
"""Seconds between two readings, or two looks at whether a reading is due, while nothing is."""

REST_S: Final = 5.0
"""Seconds between two readings of many connections, at most."""

FEW: Final = 100
"""So many connections are read sooner than the kernel's count of time-outs: it takes 0.3 ms after a rest."""

LIFETIME_S: Final = 3.0
"""Seconds for which the word of trouble is good; it is repeated after half of them."""

DETAILS_S: Final = 5.0
"""Seconds between two reports of a connection's details, at least."""

GIVE_WAY_S: Final = 0.002
"""How long a reading of many connections keeps everything else waiting, about, in seconds."""

MATERIAL: Final = 0.1
"""By which part of what was reported a value must differ to be reported."""


def _detail(name: str, unit: str, summary: str) -> Fact:
    return Fact(
        name=f"tcp.{name}",
        type=FactType.NUMBER,
        unit=unit,
        subject=Subject.CONNECTION,
        summary=summary,
        monitor="tcp",
    )


BACKOFF = _detail("backoff", "", "how often the retransmission time-out was doubled")
RTT = _detail("rtt", "s", "the round-trip time as TCP smooths it (RFC 6298)")
RTTVAR = _detail("rttvar", "s", "how much the round-trip time varies (RFC 6298)")
DELIVERY_RATE = _detail("delivery-rate", "bit/s", "how fast data reached the other end of late")
LOST = _detail("lost", "", "how many segments on their way are taken for lost")
UNACKED = _detail("unacked", "", "how many segments are on their way")

_DETAILS: Final = (BACKOFF, RTT, RTTVAR, DELIVERY_RATE, LOST, UNACKED)


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``[monitors.tcp]`` may say: from where to read, where the kernel has both."""

    source: Literal["sock_diag", "proc"] = "sock_diag"


def _details(details: TcpDetails) -> tuple[float | None, ...]:
    """Return the values of `_DETAILS`; ``None`` for what there was nothing to measure of yet."""
    return (
        float(details.backoff),
        details.rtt_us / 1e6 or None,
        details.rttvar_us / 1e6 if details.rtt_us else None,
        details.delivery_rate * 8.0 or None,
        float(details.lost),
        float(details.unacked),
    )


class _Told:
    """What was reported of a connection. ``seen`` is the reading of which all has been reported."""

    __slots__ = ("connection", "details_at", "seen", "trouble_at", "values")

    def __init__(self, connection: WatchedConnection) -> None:
        self.connection = connection
        self.seen: TcpDetails | None = None
        self.values: dict[str, float | None] = {}
        self.trouble_at: float | None = None
        self.details_at = float("-inf")


class ConnectionTable:
    """What has been reported of each connection. Time is a parameter, in seconds.

    A value counts as reported when ``report`` has taken it. ``detailed`` says whether readings have details.
    """

    def __init__(self) -> None:
        self.detailed = True
        self._troubled: set[int] = set()
        self._told: dict[int, _Told] = {}

    def watch(self, connections: Iterable[WatchedConnection]) -> None:
        """Forget all connections but these."""
        before, self._told = self._told, {}
        for connection in connections:
            told = before.get(connection.inode)
            if told is None or _name(told.connection) != _name(connection):
                told = _Told(connection)
            self._told[connection.inode] = told
        self._troubled = {inode for inode, told in self._told.items() if told.trouble_at is not None}

    def in_trouble(self) -> bool:
        """Return whether a connection retransmits."""
        return bool(self._troubled)

    def take(self, readings: Iterable[Reading], now: float, report: Report) -> None:
        """Report what is materially new in some readings that were made at ``now``.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next reading reports it.
        """
        for inode, details in readings:
            told = self._told.get(inode)
            if told is not None and (told.seen != details or told.trouble_at is not None):
                self._compare(told, details, now, report)
                (self._troubled.add if told.trouble_at is not None else self._troubled.discard)(inode)

    def _compare(self, told: _Told, details: TcpDetails, now: float, report: Report) -> None:
        told.seen = None
        trouble = details.retransmits > 0
        if trouble:
            repeat = told.trouble_at is None or now >= told.trouble_at + LIFETIME_S / 2
        else:
            repeat = told.trouble_at is not None
        lifetime_s = LIFETIME_S if trouble else None
        if repeat or told.values.get(RETRANSMITS.name) != details.retransmits:
            _tell(told, RETRANSMITS, float(details.retransmits), report, lifetime_s)
        rto_s = details.rto_us / 1e6
        if repeat or _differs(told.values.get(RTO.name), rto_s):
            _tell(told, RTO, rto_s, report, lifetime_s)
        if repeat:
            told.trouble_at = now if trouble else None
        if not self.detailed:
            told.seen = details
        elif now >= told.details_at + DETAILS_S:
            _tell_details(told, details, now, report)


def _tell_details(told: _Told, details: TcpDetails, now: float, report: Report) -> None:
    for fact, value in zip(_DETAILS, _details(details), strict=True):
        if _differs(told.values.get(fact.name), value):
            _tell(told, fact, value, report)
            told.details_at = now
    told.seen = details


def _tell(
    told: _Told, fact: Fact, value: float | None, report: Report, lifetime_s: float | None = None
) -> None:
    session, connection = _name(told.connection)
    report(
        FactMeasured(
            fact=fact.name, value=value, session=session, connection=connection, lifetime_s=lifetime_s
        )
    )
    told.values[fact.name] = value


def _differs(reported: float | None, value: float | None) -> bool:
    if reported is None or value is None:
        return reported is not value
    return abs(value - reported) > MATERIAL * abs(reported)


def _name(connection: WatchedConnection) -> tuple[str, str]:
    return connection.session, connection.connection


class TcpMonitor:
    """Report how the TCP of each session's connections fares.

    Args:
        surroundings: know the connections.
        settings: from where to read.
        open_reader: makes what reads, by the settings' ``source``.
        count_timeouts: returns how many time-outs the kernel had so far, if it tells.
        clock: reads a time that only grows, in seconds.
        sleep: waits for as many seconds.
    """

    name = "tcp"
    facts: tuple[Fact, ...] = (RETRANSMITS, RTO, *_DETAILS)

    def __init__(
        self,
        surroundings: Surroundings,
        settings: Settings = Settings(),  # noqa: B008 - frozen
        *,
        open_reader: Callable[[str], Reader] = open_reader,
        count_timeouts: Callable[[], int | None] = count_timeouts,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._surroundings = surroundings
        self._settings = settings
        self._open_reader = open_reader
        self._count_timeouts = count_timeouts
        self._clock = clock
        self._sleep = sleep
        self._table = ConnectionTable()
        self._timeouts: int | None = None
        self._read_at = float("-inf")

    async def run(self, report: Report) -> None:
        """Report how every connection fares, then every material change, until cancelled.

        Raises:
            NotAvailableError: the kernel tells nothing of its TCP sockets.
            OSError: it refuses.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        reader = self._open_reader(self._settings.source)
        self._table.detailed = reader.detailed
        watched: Sequence[WatchedConnection] | None = None
        while True:
            connections = self._surroundings.connections()
            if connections is not watched:  # the same tuple, mostly
                reader.watch(connections)
                self._table.watch(connections)
                watched, self._read_at = connections, float("-inf")
            if not connections:
                await self._surroundings.changed()
                continue
            if self._is_due(len(connections)):
                await self._read(reader, report)
            await self._sleep(TROUBLE_S if self._table.in_trouble() else CALM_S)

    def _is_due(self, connections: int) -> bool:
        if connections <= FEW or self._table.in_trouble():
            return True
        before, self._timeouts = self._timeouts, self._count_timeouts()
        quiet = before is not None and before == self._timeouts
        return not quiet or self._clock() >= self._read_at + REST_S

    async def _read(self, reader: Reader, report: Report) -> None:
        self._read_at = began = self._clock()
        for readings in reader.read():
            now = self._clock()
            self._table.take(readings, now, report)
            if self._clock() - began >= GIVE_WAY_S:
                await asyncio.sleep(0)
                began = self._clock()


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the tcp monitor.

    Raises:
        SettingsError: ``[monitors.tcp]`` is not what is expected.
    """
    return (TcpMonitor(surroundings, read(surroundings.settings("tcp"), Settings)),)
