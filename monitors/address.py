"""The address monitor: which local addresses exist, and whether they can be used."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import assert_never

from monitors.events import AddressGone, AddressPresent, LinkGone, LinkState, NetworkEvent
from monitors.facts import ADDRESSES, Fact
from monitors.messages import Change, Snapshot
from monitors.netlink import ChangeSource, Feed
from monitors.spec import Monitor, Report, hookimpl

_Key = tuple[int, str]  # interface index and address

_open_feed = partial(Feed, addresses=True)


class AddressTable:
    """What has been reported about each address.

    ``receive`` is a generator: an event counts as reported when the caller comes
    back for the next one. If reporting it raised, it is still to be reported.
    """

    def __init__(self) -> None:
        self._reported: dict[_Key, AddressPresent] = {}

    def receive(self, change: Change) -> Generator[NetworkEvent, None, None]:
        """Yield what must be reported because of a change."""
        match change:
            case Snapshot():
                yield from self._compare(change)
            case AddressPresent():
                yield from self._present(change)
            case AddressGone():
                yield from self._gone((change.index, change.address))
            case LinkState() | LinkGone():
                return  # what they mean for addresses comes as changes of its own
            case _:
                assert_never(change)

    def _compare(self, snapshot: Snapshot) -> Generator[NetworkEvent, None, None]:
        present = {(address.index, address.address) for address in snapshot.addresses}
        for key in [key for key in self._reported if key not in present]:
            yield from self._gone(key)
        for address in snapshot.addresses:
            yield from self._present(address)

    def _present(self, address: AddressPresent) -> Generator[NetworkEvent, None, None]:
        key = (address.index, address.address)
        reported = self._reported.get(key)
        if reported == address:
            return
        if reported is not None and reported.interface != address.interface:
            yield from self._gone(key)
        yield address
        self._reported[key] = address

    def _gone(self, key: _Key) -> Generator[NetworkEvent, None, None]:
        reported = self._reported.get(key)
        if reported is None:
            return
        yield AddressGone(
            interface=reported.interface,
            index=reported.index,
            address=reported.address,
            family=reported.family,
        )
        del self._reported[key]


class AddressMonitor:
    """Report every local address, IPv4 and IPv6, with its label and whether it can be used."""

    name = "address"
    facts: tuple[Fact, ...] = (ADDRESSES,)

    def __init__(self, open_feed: Callable[[], ChangeSource] = _open_feed) -> None:
        self._open_feed = open_feed
        self._table = AddressTable()

    async def run(self, report: Report) -> None:
        """Report all addresses, then every change, until cancelled.

        Raises:
            OSError: the kernel refused the subscription or a full read.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        async with self._open_feed() as feed:
            while True:
                for change in await feed.receive():
                    for event in self._table.receive(change):
                        report(event)


@hookimpl
def migrate_monitors() -> tuple[Monitor, ...]:
    """Offer the address monitor."""
    return (AddressMonitor(),)
