"""The power monitor: whether the host runs on its battery, and how full that is.

It looks when the kernel tells of a change, and every ``POLL_S``, since a battery that runs down slowly is
announced by few drivers, and the kernel tells nothing at all in most containers.

Source: Documentation/ABI/testing/sysfs-class-power; ``lib/kobject_uevent.c``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

from monitors.facts import BATTERY, ON_BATTERY, Fact, FactValue
from monitors.hints import await_hint, subscribe
from monitors.ledger import Key, Ledger, Standing
from monitors.settings import refuse_any
from monitors.spec import Monitor, NotAvailableError, Report, hookimpl
from monitors.supplies import POWER_SUPPLIES, Supplies, read_supplies
from monitors.surroundings import Surroundings

POLL_S = 10.0
PAUSE_S = 0.5
"""Seconds between two looks at least: some drivers announce every step of their gauge."""

LIFETIME_S = 3 * POLL_S

_NETLINK_KOBJECT_UEVENT = 15
_KERNEL_GROUP = 1  # group 2 is udev's
_SUBSYSTEM = b"SUBSYSTEM=power_supply"
_STANDING = Standing(lifetime_s=LIFETIME_S, again_s=LIFETIME_S / 2)

_log = logging.getLogger(__name__)


def open_uevents() -> socket.socket | None:
    """Return a socket that hears of devices, or nothing where the kernel does not let us."""
    try:
        return subscribe(_NETLINK_KOBJECT_UEVENT, (_KERNEL_GROUP,))
    except OSError as error:
        _log.debug("the kernel tells nothing of its devices here: %s", error)
        return None


def is_of_power(uevent: bytes) -> bool:
    """Return whether a message of the kernel's is about a power supply."""
    return _SUBSYSTEM in uevent.split(b"\0")


class PowerMonitor:
    """Report whether the host runs on its battery, and how full that is.

    Args:
        folder: with one folder for each power supply, as in sysfs.
        open_news: returns a non-blocking socket for the kernel's messages, or nothing if there is none.
        poll_s: seconds between two looks at most.
    """

    name = "power"
    facts: tuple[Fact, ...] = (BATTERY, ON_BATTERY)

    def __init__(
        self,
        folder: Path = POWER_SUPPLIES,
        open_news: Callable[[], socket.socket | None] = open_uevents,
        poll_s: float = POLL_S,
    ) -> None:
        self._folder = folder
        self._open_news = open_news
        self._poll_s = poll_s
        self._ledger = Ledger({fact.name: _STANDING for fact in self.facts})

    async def run(self, report: Report) -> None:
        """Report the state of the power supplies, then every change, until cancelled.

        Raises:
            NotAvailableError: there is no battery, or none any more.
            OSError: the kernel's messages can't be read.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        news = self._open_news()
        with nullcontext() if news is None else closing(news):
            while True:
                supplies = await asyncio.to_thread(read_supplies, self._folder)
                self._tell(supplies, report)
                if not supplies.batteries:
                    raise NotAvailableError("there is no battery")
                await asyncio.sleep(min(PAUSE_S, self._poll_s))
                await await_hint(news, is_of_power, self._poll_s)

    def _tell(self, supplies: Supplies, report: Report) -> None:
        for event in self._ledger.settle(_known(supplies), asyncio.get_running_loop().time()):
            report(event)


def _known(supplies: Supplies) -> dict[Key, FactValue]:
    if not supplies.batteries:
        return {}
    said = {ON_BATTERY.name: supplies.on_battery(), BATTERY.name: supplies.percent()}
    return {(fact, ""): value for fact, value in said.items() if value is not None}


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the power monitor.

    Args:
        surroundings: where its settings would be; it has none.

    Raises:
        SettingsError: somebody set something.
    """
    refuse_any(surroundings.settings(PowerMonitor.name))
    return (PowerMonitor(),)
