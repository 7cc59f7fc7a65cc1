"""The Wi-Fi monitor: which wireless network a link is in, and how strong it is heard.

Rules: it looks when the kernel tells of a network joined or left, and every ``POLL_S`` while a link is in
one. A signal counts as changed when it differs by ``STEP_DB`` from what was said last, so that it does not
chatter.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Protocol

from monitors import genetlink, nl80211
from monitors.events import FactMeasured
from monitors.facts import WIFI_SIGNAL, WIFI_SSID, Fact, FactValue
from monitors.genetlink import NETLINK_GENERIC, Family
from monitors.hints import await_hint, subscribe
from monitors.ledger import Key, Ledger, Standing
from monitors.nl80211 import WirelessLink
from monitors.settings import refuse_any
from monitors.spec import Monitor, NotAvailableError, Report, hookimpl
from monitors.surroundings import Surroundings

POLL_S = 2.0
IDLE_S = 60.0
"""Seconds between two looks where no link is in a network; older kernels don't tell of every new link."""

PAUSE_S = 0.1
"""Seconds between two looks at least, however much news there is."""

STEP_DB = 2
LIFETIME_S = 10.0

_STANDING = Standing(lifetime_s=LIFETIME_S, again_s=LIFETIME_S / 2)


class Radio(Protocol):
    """Where the monitor looks."""

    def news(self) -> socket.socket:
        """Return a non-blocking socket, for the caller to close, whose messages `is_news` judges.

        Raises:
            NotAvailableError: there is no Wi-Fi.
        """
        ...

    def is_news(self, datagram: bytes) -> bool:
        """Return whether a message means that it is time to look."""
        ...

    def links(self) -> tuple[WirelessLink, ...]:
        """Return the wireless links. It blocks, so it is called in a thread.

        Raises:
            FileNotFoundError: there is no Wi-Fi any more.
        """
        ...


class KernelRadio:
    """The kernel's nl80211."""

    def __init__(self) -> None:
        self._family = Family(0, {})

    def news(self) -> socket.socket:
        """Subscribe to links and connections.

        Raises:
            NotAvailableError: the kernel has no Wi-Fi.
            GenericNetlinkError: its answer is none.
            OSError: it refuses.
        """
        with closing(genetlink.connect()) as kernel:
            family = genetlink.find_family(kernel, nl80211.FAMILY)
        if family is None:
            raise NotAvailableError("there is no Wi-Fi device")
        self._family = family
        groups = (family.groups[group] for group in nl80211.GROUPS if group in family.groups)
        return subscribe(NETLINK_GENERIC, groups)

    def is_news(self, datagram: bytes) -> bool:
        """Return whether a message is about links or connections."""
        return nl80211.is_news(datagram, self._family)

    def links(self) -> tuple[WirelessLink, ...]:
        """Ask the drivers.

        Raises:
            GenericNetlinkError: the kernel's answer is none.
            OSError: it refuses; `FileNotFoundError` if it has no Wi-Fi any more.
        """
        with closing(genetlink.connect()) as kernel:
            return nl80211.read_links(kernel, self._family.number)


class WifiTable:
    """What has been said of each wireless link. Time is a parameter, in seconds."""

    def __init__(self) -> None:
        self._ledger = Ledger({WIFI_SIGNAL.name: _STANDING, WIFI_SSID.name: _STANDING})

    def receive(self, links: Iterable[WirelessLink], now: float) -> Generator[FactMeasured, None, None]:
        """Yield what is to be reported, given all wireless links; reported when the caller comes back."""
        known: dict[Key, FactValue] = {}
        for link in links:
            if link.ssid is not None:
                known[WIFI_SSID.name, link.interface] = link.ssid
            if link.signal_dbm is not None:
                known[WIFI_SIGNAL.name, link.interface] = self._steady(link.interface, link.signal_dbm)
        return self._ledger.settle(known, now)

    def _steady(self, interface: str, signal_dbm: int) -> float:
        said = self._ledger.value((WIFI_SIGNAL.name, interface))
        if isinstance(said, float) and abs(signal_dbm - said) < STEP_DB:
            return said
        return float(signal_dbm)


class WifiMonitor:
    """Report the network and the signal of each link that is a client of one.

    Args:
        open_radio: returns where to look.
        poll_s: seconds between two looks while a link is in a network.
    """

    name = "wifi"
    facts: tuple[Fact, ...] = (WIFI_SIGNAL, WIFI_SSID)

    def __init__(self, open_radio: Callable[[], Radio] = KernelRadio, poll_s: float = POLL_S) -> None:
        self._open_radio = open_radio
        self._poll_s = poll_s
        self._table = WifiTable()

    async def run(self, report: Report) -> None:
        """Report each link's network and signal, then every change, until cancelled.

        Raises:
            NotAvailableError: there is no Wi-Fi, or none any more.
            GenericNetlinkError: the kernel's answer is none.
            OSError: the kernel refuses.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        radio = self._open_radio()
        try:
            with closing(radio.news()) as news:
                await self._watch(radio, news, report)
        except (NotAvailableError, FileNotFoundError) as error:
            self._tell((), report)
            raise NotAvailableError("there is no Wi-Fi device") from error

    async def _watch(self, radio: Radio, news: socket.socket, report: Report) -> None:
        while True:
            links = await asyncio.to_thread(radio.links)
            self._tell(links, report)
            joined = any(link.ssid is not None for link in links)
            await asyncio.sleep(min(PAUSE_S, self._poll_s))
            await await_hint(news, radio.is_news, self._poll_s if joined else IDLE_S)

    def _tell(self, links: Iterable[WirelessLink], report: Report) -> None:
        for event in self._table.receive(links, asyncio.get_running_loop().time()):
            report(event)


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the Wi-Fi monitor.

    Args:
        surroundings: where its settings would be; it has none.

    Raises:
        SettingsError: somebody set something.
    """
    refuse_any(surroundings.settings(WifiMonitor.name))
    return (WifiMonitor(),)
