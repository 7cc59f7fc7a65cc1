"""The route monitor: by which links default routes lead out, and through which links peers are reached.

A link can be up with an address and lead nowhere: its router has not answered yet, or a route was taken away.

Rule: after the first news it waits a moment, and then looks at everything, because routes change in bursts. A
look may take a tenth of the time at most, however many routes there are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Set
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Protocol

from monitors.events import FactMeasured
from monitors.facts import DEFAULT_ROUTE, REACHABLE, Fact
from monitors.fib import RoutingTables
from monitors.settings import refuse_any
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import Surroundings, WatchedPath

SETTLE_S: Final = 0.05
"""Seconds from the first news to the look at what has changed."""

REST: Final = 10
"""How many times as long as a look it waits for the next one, at least."""

_TURN: Final = 16  # questions about paths between two chances for others

_Link = tuple[int, str]  # index and name: facts go with either
_Path = tuple[_Link, str]


class Tables(Protocol):
    """Where answers come from; `monitors.fib.RoutingTables` says more."""

    def close(self) -> None:
        """Hear no more news."""
        ...

    async def wait(self) -> None:
        """Wait until routes, rules or links change."""
        ...

    def gone(self) -> frozenset[int] | None:
        """Take in all news, and return the indexes of deleted links; ``None`` if some news was missed."""
        ...

    def link_names(self) -> dict[int, str]:
        """Return the names of all links by their index."""
        ...

    def default_links(self) -> Iterator[set[int]]:
        """Yield the indexes of links by which default routes lead out, some at a time."""
        ...

    def leads_to(self, peer: str, index: int, local: str) -> bool:
        """Return whether a route leads to a peer through a link."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """What there is at one moment.

    Attributes:
        links: for each link whether a default route leads out by it.
        paths: for each path whether a route leads to the peer.
    """

    links: Mapping[_Link, bool]
    paths: Mapping[_Path, bool]


class RouteTable:
    """What has been reported. A value counts as reported when ``report`` has taken it."""

    def __init__(self) -> None:
        self._links: dict[_Link, bool] = {}
        self._paths: dict[_Path, bool] = {}

    def forget(self, gone: Set[int] | None) -> None:
        """Forget what was reported of links that were deleted, as everybody has; ``None`` for any of them."""
        for link in [link for link in self._links if gone is None or link[0] in gone]:
            del self._links[link]
        for path in [path for path in self._paths if gone is None or path[0][0] in gone]:
            del self._paths[path]

    def take(self, look: Look, report: Report) -> None:
        """Report what is another than before.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next look reports it.
        """
        self.forget({link[0] for link in self._links if link not in look.links})
        for link, leads_out in look.links.items():
            if self._links.get(link) is not leads_out:
                report(FactMeasured(fact=DEFAULT_ROUTE.name, value=leads_out, interface=link[1]))
                self._links[link] = leads_out
        for path, reached in look.paths.items():
            if self._paths.get(path) is not reached:
                report(_reachable(path, reached))
                self._paths[path] = reached
        for path in [path for path in self._paths if path not in look.paths]:
            report(_reachable(path, None))
            del self._paths[path]


def _reachable(path: _Path, value: bool | None) -> FactMeasured:
    (_, interface), peer = path
    return FactMeasured(fact=REACHABLE.name, value=value, interface=interface, peer=peer)


class RouteMonitor:
    """Report where default routes lead out and through which links peers are reached, and every change.

    Args:
        surroundings: know the paths.
        open_tables: opens the kernel's routing tables.
        clock: reads a time that only grows, in seconds.
        sleep: waits for as many seconds.

    Attributes:
        looks: How often it has looked.
    """

    name = "route"
    facts: tuple[Fact, ...] = (DEFAULT_ROUTE, REACHABLE)

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        open_tables: Callable[[], Tables] = RoutingTables,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._surroundings = surroundings
        self._open_tables = open_tables
        self._clock = clock
        self._sleep = sleep
        self._table = RouteTable()
        self.looks = 0

    async def run(self, report: Report) -> None:
        """Report all links and paths, then every change, until cancelled.

        Raises:
            OSError: the kernel refuses to tell its routes.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        with closing(self._open_tables()) as tables:
            while True:
                began = self._clock()
                paths = self._surroundings.paths()
                self._table.forget(tables.gone())
                self._table.take(await _look(tables, paths), report)
                self.looks += 1
                took = self._clock() - began
                await self._news(tables, paths)
                await self._sleep(max(SETTLE_S, REST * took))

    async def _news(self, tables: Tables, paths: tuple[WatchedPath, ...]) -> None:
        """Wait until there may be anything new."""
        waits = {asyncio.create_task(tables.wait()), asyncio.create_task(self._other_paths(paths))}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in done:
                wait.result()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _other_paths(self, paths: tuple[WatchedPath, ...]) -> None:
        while self._surroundings.paths() == paths:
            await self._surroundings.changed()


async def _look(tables: Tables, paths: Iterable[WatchedPath]) -> Look:
    names = tables.link_names()
    default: set[int] = set()
    for links in tables.default_links():
        default |= links
        await asyncio.sleep(0)  # a table can be long
    return Look(
        links={(index, name): index in default for index, name in names.items()},
        paths=await _reached(tables, names, paths),
    )


async def _reached(
    tables: Tables, names: Mapping[int, str], paths: Iterable[WatchedPath]
) -> dict[_Path, bool]:
    """Ask for each path; of several local addresses on a link one that reaches the peer suffices."""
    links = {name: (index, name) for index, name in names.items()}
    reached: dict[_Path, bool] = {}
    for number, path in enumerate(paths):
        if (link := links.get(path.interface)) is None:
            continue
        known = reached.get((link, path.peer), False)
        reached[link, path.peer] = known or tables.leads_to(path.peer, link[0], path.local_address)
        if number % _TURN == _TURN - 1:
            await asyncio.sleep(0)
    return reached


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the route monitor.

    Raises:
        SettingsError: somebody set something; it has no settings.
    """
    refuse_any(surroundings.settings(RouteMonitor.name))
    return (RouteMonitor(surroundings),)
