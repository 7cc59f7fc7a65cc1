"""The counters monitor: what each link carries, and what it has carried this month.

It reads the kernel's counters every ``POLL_S``. Counts are written down once a minute and at the end, so that
a crash costs nothing of them while the kernel goes on counting, and a minute of them where it does not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from monitors.devices import read_counters
from monitors.events import FactMeasured
from monitors.facts import DATA_USED, THROUGHPUT, Fact, FactValue
from monitors.ledger import Key, Ledger, Standing
from monitors.settings import read
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import Surroundings
from monitors.usage import Reading, Usage, billing_month
from monitors.usage_file import DamagedError, UsageFile

POLL_S = 5.0
SAVE_S = 60.0
LIFETIME_S = 3 * POLL_S

NOT_COUNTED = ("lo", "veth*", "docker*", "br-*", "virbr*", "vnet*", "cni*", "cali*", "lxc*", "ifb*", "dummy*")
"""Links that lead not out but to programs, containers and virtual machines of the host."""

RATE_STEP_BITS = 10_000.0
RATE_STEP = 0.1
"""A throughput is another when it differs by more than both: bit/s, and a share of what was said."""

USED_STEP_BYTES = 1_000_000
USED_STEP = 0.01
USED_LEAST_BYTES = 10_000
"""An amount is another when it grew by the first, or by the second (a share) and the third (bytes)."""

_STANDINGS = {
    THROUGHPUT.name: Standing(lifetime_s=LIFETIME_S, again_s=LIFETIME_S / 2),
    # For ever: a limit that is reached must not be forgotten because nobody counts any more.
    DATA_USED.name: Standing(lifetime_s=None, again_s=60.0),
}

_log = logging.getLogger(__name__)


class Settings(Struct, frozen=True):
    """What can be set in ``[monitors.counters]``.

    Attributes:
        month_starts_on: The day on which the month starts for which data are paid.
        links: Globs of the links that are counted; ``None`` for all but `NOT_COUNTED`.
    """

    month_starts_on: Annotated[int, Meta(ge=1, le=28)] = 1
    links: tuple[str, ...] | None = None

    def counts(self, interface: str) -> bool:
        """Return whether a link is counted."""
        if self.links is None:
            return not any(fnmatchcase(interface, glob) for glob in NOT_COUNTED)
        return any(fnmatchcase(interface, glob) for glob in self.links)


class CountersTable:
    """What links carry and have carried, and what has been said of it. Time is a parameter, in seconds.

    Args:
        usage: what was counted so far.
    """

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self._ledger = Ledger(_STANDINGS)
        self._looked_at: float | None = None
        self._present: frozenset[str] = frozenset()

    def receive(self, reading: Reading, month: str, now: float) -> Generator[FactMeasured, None, None]:
        """Count a reading, and return what is to be reported; reported when the caller comes back.

        Args:
            reading: the counters of the links that are counted.
            month: the month's name.
            now: when they were read.
        """
        carried = self.usage.receive(reading, month)
        used = self.usage.used(month)
        known: dict[Key, FactValue] = {(DATA_USED.name, name): float(used[name]) for name in carried}
        if self._looked_at is not None and now > self._looked_at:
            for name in self._present & carried.keys():  # of others nobody knows since when
                known[THROUGHPUT.name, name] = float(round(8 * carried[name] / (now - self._looked_at)))
        self._looked_at, self._present = now, frozenset(carried)
        return self._ledger.settle(known, now, _matters)


def _matters(key: Key, old: FactValue, new: FactValue) -> bool:
    before, after = float(old), float(new)
    change = abs(after - before)
    if key[0] == THROUGHPUT.name:
        return change > RATE_STEP_BITS and change > RATE_STEP * before
    if after < before:  # another month
        return True
    return change >= USED_STEP_BYTES or change >= max(USED_STEP * before, USED_LEAST_BYTES)


class CountersMonitor:
    """Report what each link carries, averaged over some seconds, and what it has carried this month.

    Args:
        settings: which links, and when a month starts.
        folder: where counts survive; ``None`` if they needn't.
        read_links: returns the counters of all links.
        clock: returns the time, in seconds since the epoch.
        poll_s: seconds between two looks.
    """

    name = "counters"
    facts: tuple[Fact, ...] = (DATA_USED, THROUGHPUT)

    def __init__(
        self,
        settings: Settings,
        folder: Path | None,
        *,
        read_links: Callable[[], Reading] = read_counters,
        clock: Callable[[], float] = time.time,
        poll_s: float = POLL_S,
    ) -> None:
        self._settings = settings
        self._file = UsageFile(folder) if folder else None
        self._read_links = read_links
        self._clock = clock
        self._poll_s = poll_s
        self._table: CountersTable | None = None
        self._save_at = 0.0
        self._told_unwritable = False

    async def run(self, report: Report) -> None:
        """Report what the links carry, then every change, until cancelled.

        Raises:
            OSError: the counters, or what was kept of them, can't be read.
            ValueError: the kernel's counters have another form.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        loop = asyncio.get_running_loop()
        if self._table is None:
            self._table = await asyncio.to_thread(self._load)
            self._save_at = loop.time() + SAVE_S
        try:
            while True:
                self._look(self._table, loop.time(), report)
                if loop.time() >= self._save_at:
                    await asyncio.to_thread(self._save, self._table)
                    self._save_at = loop.time() + SAVE_S
                await asyncio.sleep(self._poll_s)
        except asyncio.CancelledError:  # after a fault the next run goes on with the table
            self._save(self._table)
            raise

    def _look(self, table: CountersTable, now: float, report: Report) -> None:
        reading = self._read_links()
        counted = {name: link for name, link in reading.links.items() if self._settings.counts(name)}
        month = billing_month(self._clock(), self._settings.month_starts_on)
        for event in table.receive(Reading(reading.boot, counted), month, now):
            report(event)

    def _load(self) -> CountersTable:
        try:
            return CountersTable(Usage(self._file.load() if self._file else None))
        except DamagedError as error:
            _log.warning("%s; the data used by links are counted from 0", error)
            return CountersTable(Usage())

    def _save(self, table: CountersTable) -> None:
        if self._file is None:
            return
        try:
            self._file.save(table.usage.record())
        except OSError as error:  # it goes on counting, and tries again
            if not self._told_unwritable:
                _log.warning("the data used by links can't be kept: %s", error)
            self._told_unwritable = True
        else:
            self._told_unwritable = False


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the counters monitor.

    Args:
        surroundings: its settings, and where it keeps what it counted.

    Raises:
        SettingsError: the settings are not as expected.
    """
    settings = read(surroundings.settings(CountersMonitor.name), Settings)
    return (CountersMonitor(settings, surroundings.state_folder),)
