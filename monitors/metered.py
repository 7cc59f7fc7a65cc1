"""The metered monitor: which links cost money, and how much.

Rule: what the configuration says of a link counts, by the first pattern that its name matches; of others,
NetworkManager's word. Nobody's word is no measurement: such a link is neither metered nor free.

The facts can't make a loop with the decisions that rest on them (a link is brought up, found to be metered
and dropped again), because no decision brings a link up or down, and what is told of a link does not depend
on whether sessions use it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from monitors.events import FactMeasured, LinkGone, LinkState
from monitors.facts import COST, METERED, Fact, FactValue
from monitors.messages import Change, Snapshot
from monitors.netlink import ChangeSource, Feed
from monitors.networkmanager import metered_links
from monitors.services import follow
from monitors.settings import read
from monitors.spec import Monitor, NotAvailableError, Report, hookimpl
from monitors.surroundings import Surroundings
from monitors.together import together

_open_feed = partial(Feed, addresses=False)

_Cost = Annotated[float, Meta(ge=0, le=1e12)]


class MeteredSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[monitors.metered]``: what holds of links whose names match a pattern; the first counts.

    Attributes:
        links: Whether data over the link costs money.
        cost: What it costs, in any unit, as long as it is one for all.
    """

    links: dict[str, bool] = {}
    cost: dict[str, _Cost] = {}


class MeteredTable:
    """What is said of each link, and what of it was reported."""

    def __init__(self, settings: MeteredSettings) -> None:
        self._settings = settings
        self._links: dict[int, str] = {}
        self._manager: Mapping[str, bool] = {}
        self._reported: dict[tuple[str, str], FactValue] = {}

    @property
    def configured(self) -> bool:
        """Return whether the configuration says anything of links."""
        return bool(self._settings.links or self._settings.cost)

    def manager(self, links: Mapping[str, bool]) -> None:
        """Take what NetworkManager says: of these links, by name, whether they are metered."""
        self._manager = links

    def receive(self, change: Change) -> None:
        """Take in which links there are, of which the configuration may speak."""
        match change:
            case Snapshot():
                self._links = {link.index: link.interface for link in change.links}
            case LinkState():
                self._links[change.index] = change.interface
            case LinkGone():
                self._links.pop(change.index, None)

    def events(self) -> Generator[FactMeasured, None, None]:
        """Yield what has changed since the last report; the caller comes back when it was reported."""
        values = self._values()
        for key in [key for key in self._reported if key not in values]:
            fact, interface = key
            yield FactMeasured(fact=fact, value=None, interface=interface)
            del self._reported[key]
        for key, value in values.items():
            if self._reported.get(key) != value:
                fact, interface = key
                yield FactMeasured(fact=fact, value=value, interface=interface)
                self._reported[key] = value

    def _values(self) -> dict[tuple[str, str], FactValue]:
        values: dict[tuple[str, str], FactValue] = {
            (METERED.name, link): metered for link, metered in self._manager.items()
        }
        for link in self._links.values():
            for fact, patterns in ((METERED, self._settings.links), (COST, self._settings.cost)):
                if (value := _first(patterns, link)) is not None:
                    values[fact.name, link] = value
        return values


def _first(patterns: Mapping[str, FactValue], link: str) -> FactValue | None:
    return next((value for pattern, value in patterns.items() if fnmatchcase(link, pattern)), None)


class MeteredMonitor:
    """Report what data over each link costs.

    Args:
        settings: what the configuration says.
        open_feed: opens the kernel's news of links.
        manager: what NetworkManager says, as `metered_links` yields it.
    """

    name = "metered"
    facts: tuple[Fact, ...] = (METERED, COST)

    def __init__(
        self,
        settings: MeteredSettings | None = None,
        open_feed: Callable[[], ChangeSource] = _open_feed,
        manager: Callable[[], AsyncGenerator[Mapping[str, bool] | None, None]] = metered_links,
    ) -> None:
        self._table = MeteredTable(settings or MeteredSettings())
        self._open_feed = open_feed
        self._manager = manager

    async def run(self, report: Report) -> None:
        """Report what is known of all links, then every change, until cancelled.

        Raises:
            NotAvailableError: the configuration says nothing, and NetworkManager can't be asked.
            OSError: the kernel does not tell its links.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        asked = follow(
            self._manager, partial(self._take, report), lambda error: self._lost(report, str(error))
        )
        if self._table.configured:
            await together(asked, self._watch_links(report))
        else:
            await asked

    async def _watch_links(self, report: Report) -> None:
        async with self._open_feed() as feed:
            while True:
                for change in await feed.receive():
                    self._table.receive(change)
                self._tell(report)

    def _take(self, report: Report, links: Mapping[str, bool] | None) -> None:
        if links is None:
            self._lost(report, "NetworkManager is not running")
        else:
            self._table.manager(links)
            self._tell(report)

    def _lost(self, report: Report, why: str) -> None:
        self._table.manager({})
        self._tell(report)
        if not self._table.configured:
            raise NotAvailableError(f"{why}, and `[monitors.metered]` names no links")

    def _tell(self, report: Report) -> None:
        for event in self._table.events():
            report(event)


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the metered monitor."""
    return (MeteredMonitor(read(surroundings.settings(MeteredMonitor.name), MeteredSettings)),)
