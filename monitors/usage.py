"""How much each link has carried in each month, from the kernel's counters. Nothing here reads or waits.

Rules, each for something that happens to counters:

* A link that was never counted starts at 0: what its counters held before was of another time.
* Of a link that is known, the difference counts, also over a restart of this program.
* Counters that began anew count from 0: the host was started again, the link was made again or its driver
  loaded again. Ones of 32 bits that ran over go on.
* Each month is counted by itself and some are kept, so that a clock that was set wrong, to any time, and then
  right loses nothing: the month goes on where it was.
* What a link carried while nobody looked belongs to the month in which it is found.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

MONTHS_KEPT = 3
LINKS_MAX = 256
"""How many links are remembered; of more, those that were not there for longest are forgotten."""

WRAP = 1 << 32
WRAP_MAX = 1 << 30
"""Bytes: a 32-bit counter that says to have run over with more than this between two looks began anew."""


_Bytes = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Counted(Struct, frozen=True, forbid_unknown_fields=True):
    """A link's counters: its number in the kernel, and how many bytes it has received and sent."""

    index: int
    received: _Bytes
    sent: _Bytes


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """All that is kept.

    Attributes:
        boot: The kernel's name of the boot in which the counters were read.
        links: The latest counters of each link.
        months: The bytes of each link in each month, by the month's name; the one that was used last is last.
    """

    boot: str
    links: dict[str, Counted]
    months: dict[str, dict[str, _Bytes]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel says at a time: its boot, and the counters of its links."""

    boot: str
    links: Mapping[str, Counted]


class Usage:
    """The bytes of each link in each month.

    Args:
        record: what was kept of an earlier run.
    """

    def __init__(self, record: Record | None = None) -> None:
        kept = record or Record(boot="", links={}, months={})
        self._boot = kept.boot
        self._links = dict(kept.links)
        self._months = {month: dict(used) for month, used in kept.months.items()}

    def receive(self, reading: Reading, month: str) -> Mapping[str, int]:
        """Count what the links have carried since they were read last, and return that, in bytes.

        Args:
            reading: the counters now.
            month: the month's name, as `billing_month` gives it.
        """
        carried: dict[str, int] = {}
        used = self._use(month)
        for name, now in reading.links.items():
            before = self._links.pop(name, None)
            carried[name] = 0 if before is None else _carried(before, now, anew=self._boot != reading.boot)
            used[name] = used.get(name, 0) + carried[name]
            self._links[name] = now  # now the last
        self._boot = reading.boot
        self._forget(len(self._links) - LINKS_MAX)
        return carried

    def used(self, month: str) -> Mapping[str, int]:
        """Return how many bytes each link has carried in a month, in both directions together."""
        return self._months.get(month, {})

    def record(self) -> Record:
        """Return all that is to be kept."""
        months = {month: dict(used) for month, used in self._months.items()}
        return Record(boot=self._boot, links=dict(self._links), months=months)

    def _use(self, month: str) -> dict[str, int]:
        used = self._months.pop(month, {})
        self._months[month] = used
        while len(self._months) > MONTHS_KEPT:
            del self._months[next(iter(self._months))]
        return used

    def _forget(self, surplus: int) -> None:
        for name in list(self._links)[: max(surplus, 0)]:
            del self._links[name]
            for used in self._months.values():
                used.pop(name, None)


def _carried(before: Counted, now: Counted, *, anew: bool) -> int:
    if anew or before.index != now.index:
        return now.received + now.sent
    return _difference(before.received, now.received) + _difference(before.sent, now.sent)


def _difference(old: int, new: int) -> int:
    if new >= old:
        return new - old
    beyond = new + WRAP - old
    return beyond if old < WRAP and beyond <= WRAP_MAX else new


def billing_month(now: float, starts_on: int) -> str:
    """Return the name of the month that a time is in, such as ``2026-11``: that in which it began.

    Args:
        now: seconds since the epoch.
        starts_on: the day on which a month starts, 1 to 28, in the local time zone as it is set now.
    """
    time.tzset()  # localtime(3) alone need not notice another time zone
    local = time.localtime(now)
    months = local.tm_year * 12 + local.tm_mon - 1 - (local.tm_mday < starts_on)
    return f"{months // 12:04}-{months % 12 + 1:02}"
