"""The carrier monitor: which links exist, and whether their cable or radio is connected.

Rule: a loss is reported at once. Anything else waits ``GAIN_DELAY_S``, because the
kernel brings a link up in several messages, some out of step with each other
(carrier on, still LOWERLAYERDOWN, then UP). Nothing is reported twice in a row.

Losses are counted by the link's name for ``FLAPS_S``, whatever becomes of the
interface: a modem that is plugged in again after each fall is still a bad link.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Generator
from functools import partial
from typing import assert_never

from monitors.events import AddressGone, AddressPresent, FactMeasured, LinkGone, LinkState, NetworkEvent
from monitors.facts import CARRIER, FLAPS, OPERSTATE, Fact
from monitors.messages import Change, Snapshot
from monitors.netlink import ChangeSource, Feed
from monitors.spec import Monitor, Report, hookimpl

GAIN_DELAY_S = 0.010

FLAPS_S = 60.0
"""For how many seconds the loss of a link is counted."""

LOSSES_MAX = 16_384
"""How many losses are remembered; beyond that the oldest are forgotten early."""

_open_feed = partial(Feed, addresses=False)


class CarrierTable:
    """What has been reported about each link, and what waits. Time is a parameter, in seconds.

    The methods are generators: an event counts as reported when the caller comes
    back for the next one. If reporting it raised, it is still to be reported.
    """

    def __init__(self) -> None:
        self._reported: dict[int, LinkState] = {}
        self._waiting: dict[int, tuple[float, LinkState]] = {}

    def receive(self, change: Change, now: float) -> Generator[NetworkEvent, None, None]:
        """Yield what must be reported because of a change that arrived at ``now``."""
        match change:
            case Snapshot():
                yield from self._compare(change, now)
            case LinkState():
                yield from self._state(change, now)
            case LinkGone():
                yield from self._gone(change.index)
            case AddressPresent() | AddressGone():
                return
            case _:
                assert_never(change)

    def next_deadline(self) -> float | None:
        """Return when ``due`` has something to yield, or nothing if nothing waits."""
        return min((deadline for deadline, _ in self._waiting.values()), default=None)

    def due(self, now: float) -> Generator[NetworkEvent, None, None]:
        """Yield the states that have waited long enough."""
        ready = [index for index, (deadline, _) in self._waiting.items() if deadline <= now]
        for index in ready:
            yield from self._report(self._waiting[index][1])

    def _compare(self, snapshot: Snapshot, now: float) -> Generator[NetworkEvent, None, None]:
        present = {link.index for link in snapshot.links}
        for index in [index for index in self._reported if index not in present]:
            yield from self._gone(index)
        for link in snapshot.links:
            yield from self._state(link, now)

    def _state(self, link: LinkState, now: float) -> Generator[NetworkEvent, None, None]:
        reported = self._reported.get(link.index)
        if link == reported:
            self._waiting.pop(link.index, None)
        elif reported is None or _is_loss(reported, link):
            yield from self._report(link)
        else:
            deadline, _ = self._waiting.get(link.index, (now + GAIN_DELAY_S, link))
            self._waiting[link.index] = (deadline, link)

    def _report(self, link: LinkState) -> Generator[NetworkEvent, None, None]:
        reported = self._reported.get(link.index)
        if reported is not None and reported.interface != link.interface:
            yield from self._gone(link.index)
        yield link
        self._reported[link.index] = link
        self._waiting.pop(link.index, None)

    def _gone(self, index: int) -> Generator[NetworkEvent, None, None]:
        reported = self._reported.get(index)
        if reported is not None:
            yield LinkGone(interface=reported.interface, index=index)
            del self._reported[index]
        self._waiting.pop(index, None)


def _is_loss(before: LinkState, after: LinkState) -> bool:
    """Return whether something that was there is not: the name, too, under which the link is known."""
    return (
        before.interface != after.interface
        or (before.up and not after.up)
        or (before.carrier and not after.carrier)
        or (before.usable and not after.usable)
    )


class FlapCounter:
    """How often the links of each name were lost of late, by what has been reported of them.

    ``due`` is a generator like those of `CarrierTable`. Time is a parameter, in seconds.
    """

    def __init__(self) -> None:
        self._links: dict[int, LinkState] = {}
        self._names: Counter[str] = Counter()
        self._losses: deque[tuple[float, str]] = deque()
        self._counts: Counter[str] = Counter()
        self._told: dict[str, int] = {}
        self._changed: set[str] = set()

    def heard(self, event: NetworkEvent, now: float) -> None:
        """Take in what was reported at ``now``."""
        if not isinstance(event, LinkState | LinkGone):
            return
        before = self._links.pop(event.index, None)
        if before is not None:
            _take_one(self._names, before.interface)
        if isinstance(event, LinkState):
            self._links[event.index] = event
            self._names[event.interface] += 1
        else:
            self._told.pop(event.interface, None)  # facts go with the link, and with its name
        if before is not None and before.usable and not (isinstance(event, LinkState) and event.usable):
            self._losses.append((now, event.interface))
            self._counts[event.interface] += 1
        self._changed.add(event.interface)

    def next_deadline(self) -> float | None:
        """Return when the oldest loss counts no longer, or nothing if there was none."""
        return self._losses[0][0] + FLAPS_S if self._losses else None

    def due(self, now: float) -> Generator[FactMeasured, None, None]:
        """Yield the number of losses of each link whose number is another, or not known yet."""
        self._forget(now)
        for name in sorted(self._changed):
            count = self._counts[name]
            if name in self._names and self._told.get(name) != count:
                yield FactMeasured(fact=FLAPS.name, value=float(count), interface=name)
                self._told[name] = count
            self._changed.discard(name)

    def _forget(self, now: float) -> None:
        while self._losses and (self._losses[0][0] + FLAPS_S <= now or len(self._losses) > LOSSES_MAX):
            _, name = self._losses.popleft()
            self._changed.add(name)
            _take_one(self._counts, name)


def _take_one(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]


class CarrierMonitor:
    """Report every link's state as IFLA_CARRIER and IFLA_OPERSTATE together tell it."""

    name = "carrier"
    facts: tuple[Fact, ...] = (CARRIER, OPERSTATE, FLAPS)

    def __init__(self, open_feed: Callable[[], ChangeSource] = _open_feed) -> None:
        self._open_feed = open_feed
        self._table = CarrierTable()
        self._flaps = FlapCounter()

    async def run(self, report: Report) -> None:
        """Report all links, then every change, until cancelled.

        Raises:
            OSError: the kernel refused the subscription or a full read.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        loop = asyncio.get_running_loop()
        async with self._open_feed() as feed:
            while True:
                changes = await feed.receive(self._next_deadline())
                now = loop.time()
                for change in changes:
                    for event in self._table.receive(change, now):
                        self._report(event, now, report)
                for event in self._table.due(now):
                    self._report(event, now, report)
                for fact in self._flaps.due(now):
                    report(fact)

    def _next_deadline(self) -> float | None:
        deadlines = (self._table.next_deadline(), self._flaps.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _report(self, event: NetworkEvent, now: float, report: Report) -> None:
        report(event)
        self._flaps.heard(event, now)


@hookimpl
def migrate_monitors() -> tuple[Monitor, ...]:
    """Offer the carrier monitor."""
    return (CarrierMonitor(),)
