from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.address import AddressMonitor, AddressTable
from monitors.events import AddressGone, AddressPresent, LinkGone, NetworkEvent
from monitors.mailbox import MailboxFullError
from monitors.messages import Change, Snapshot
from monitors.testing import Recorder, ScriptedFeed, check_monitor
from tests.monitors.samples import address, gone, link


def told(*addresses: AddressPresent) -> AddressTable:
    """Return a table that has reported these addresses."""
    table = AddressTable()
    assert list(table.receive(Snapshot(links=(), addresses=addresses))) == list(addresses)
    return table


def test_an_address_is_reported_once() -> None:
    table = AddressTable()
    assert list(table.receive(address())) == [address()]
    assert list(table.receive(address())) == []


def test_every_change_is_reported() -> None:
    table = told(address("fd00::1", usable=False))
    assert list(table.receive(address("fd00::1"))) == [address("fd00::1")]
    assert list(table.receive(address("fd00::1", prefix_length=64))) == [address("fd00::1", prefix_length=64)]


def test_a_removed_address_is_gone_once() -> None:
    table = told(address())
    assert list(table.receive(gone(address()))) == [gone(address())]
    assert list(table.receive(gone(address()))) == []


def test_one_address_on_two_links_is_two() -> None:
    table = told(address(), address(index=3, interface="ppp0"))
    assert list(table.receive(gone(address()))) == [gone(address())]
    assert list(table.receive(address(index=3, interface="ppp0"))) == []


def test_after_a_renaming_the_address_is_gone_under_the_old_name() -> None:
    renamed = address(interface="wan0")
    assert list(told(address()).receive(renamed)) == [gone(address()), renamed]


def test_a_snapshot_tells_what_vanished_meanwhile() -> None:
    table = told(address(), address("fd00::1"))
    events = list(table.receive(Snapshot(links=(), addresses=(address("fd00::1"), address("10.0.0.2")))))
    assert events == [gone(address()), address("10.0.0.2")]


def test_links_are_not_its_business() -> None:
    table = told(address())
    assert list(table.receive(link())) == []
    assert list(table.receive(LinkGone(interface="eth0", index=2))) == []


def test_what_was_refused_is_still_to_be_reported() -> None:
    table = AddressTable()
    refused = table.receive(address())
    assert next(refused) == address()
    refused.close()
    assert list(table.receive(address())) == [address()]
    refused = table.receive(gone(address()))
    assert next(refused) == gone(address())
    refused.close()
    assert list(table.receive(Snapshot(links=()))) == [gone(address())]


ADDRESSES = st.builds(
    address,
    st.sampled_from(["10.0.0.1", "fd00::1"]),
    st.integers(2, 3),
    st.sampled_from(["eth0", "ppp0"]),
    prefix_length=st.sampled_from([24, 16]),
    usable=st.booleans(),
)
SNAPSHOTS = st.lists(ADDRESSES, max_size=4, unique_by=lambda a: (a.index, a.address)).map(
    lambda found: Snapshot(links=(), addresses=tuple(found))
)


def truth(world: dict[tuple[int, str], AddressPresent], change: Change) -> None:
    match change:
        case AddressPresent():
            world[change.index, change.address] = change
        case AddressGone():
            world.pop((change.index, change.address), None)
        case Snapshot():
            world.clear()
            world.update({(a.index, a.address): a for a in change.addresses})


@given(st.lists(ADDRESSES | ADDRESSES.map(gone) | SNAPSHOTS, max_size=40))
def test_who_only_hears_the_reports_knows_the_truth(changes: list[Change]) -> None:
    table = AddressTable()
    real: dict[tuple[int, str], AddressPresent] = {}
    heard: dict[tuple[int, str], AddressPresent] = {}
    before: NetworkEvent | None = None
    for change in changes:
        truth(real, change)
        for event in table.receive(change):
            assert event != before
            before = event
            truth(heard, event)
        assert heard == real


def test_a_refused_report_ends_the_run() -> None:
    async def play() -> None:
        feed = ScriptedFeed()
        feed.put(address())
        await AddressMonitor(lambda: feed).run(Recorder(refuse=True))

    with pytest.raises(MailboxFullError):
        asyncio.run(play())


def test_it_keeps_the_contract() -> None:
    feed = ScriptedFeed(Snapshot(links=(link(),), addresses=(address(),)))
    recorder = asyncio.run(check_monitor(lambda: AddressMonitor(lambda: feed), run_s=0.01))
    assert recorder.events == [address()]
