from __future__ import annotations

import pytest

from engine.session import Connection, SessionDescription
from migrated.recording import known as module
from migrated.recording.entries import (
    AddressSeen,
    Entry,
    FactSeen,
    LinkLost,
    LinkSeen,
    SessionAdded,
    SessionRemoved,
    SnapshotBegan,
    SnapshotEnded,
    event_entry,
)
from migrated.recording.known import Known
from monitors.events import AddressPresent, FactMeasured, LinkGone, LinkState, OperState
from monitors.facts import CARRIER


def added(name: str) -> SessionAdded:
    connection = Connection(
        proto="tcp",
        local_address="10.0.0.5",
        local_port=40000,
        remote_address="192.0.2.1",
        remote_port=22,
        role="client",
    )
    description = SessionDescription(id=name, connections=(connection,))
    return SessionAdded(description=description, attachment=("eth0", "10.0.0.5"), wall=1.0, clock=1.0)


def link(name: str, index: int) -> Entry:
    state = LinkState(interface=name, index=index, up=True, carrier=True, operstate=OperState.UP)
    return event_entry(state, wall=1.0, clock=1.0)


def address(name: str, index: int) -> Entry:
    event = AddressPresent(
        interface=name,
        index=index,
        label=name,
        address="10.0.0.5",
        prefix_length=24,
        family=4,
        usable=True,
    )
    return event_entry(event, wall=1.0, clock=1.0)


def snapshot_after(
    *entries: Entry, clock: float = 1.0, measured: tuple[FactMeasured, ...] = ()
) -> list[Entry]:
    known = Known()
    for entry in entries:
        known.take_in(entry)
    return list(known.snapshot("rotated", program="", wall=1.0, clock=clock, measured=measured))


def fact(
    name: str, value: float = 1.0, measured_at: float = 1.0, lifetime_s: float | None = None
) -> FactMeasured:
    return FactMeasured(fact=name, value=value, measured_at=measured_at, lifetime_s=lifetime_s)


def test_a_session_that_has_ended_is_not_known() -> None:
    gone = SessionRemoved(session="one", wall=1.0, clock=1.0)
    told = snapshot_after(added("one"), added("two"), gone)
    assert [e.description.id for e in told if isinstance(e, SessionAdded)] == ["two"]


def test_a_link_takes_its_addresses_with_it() -> None:
    lost = LinkLost(event=LinkGone(interface="eth0", index=1), wall=1.0, clock=1.0)
    told = snapshot_after(link("eth0", 1), address("eth0", 1), link("eth1", 2), lost)
    assert [e.event.interface for e in told if isinstance(e, LinkSeen)] == ["eth1"]
    assert not [e for e in told if isinstance(e, AddressSeen)]


def test_a_link_that_takes_over_a_name_takes_the_place_of_the_other() -> None:
    told = snapshot_after(link("eth0", 1), address("eth0", 1), link("eth0", 2))
    assert [e.event.index for e in told if isinstance(e, LinkSeen)] == [2]
    assert not [e for e in told if isinstance(e, AddressSeen)]


def test_facts_are_told_last_as_they_were_measured() -> None:
    measured = (fact("x.y", 1.0, 3.0), fact("x.z", 2.0, 4.0, lifetime_s=10.0))
    began, *told, ended = snapshot_after(link("eth0", 1), clock=5.0, measured=measured)
    assert isinstance(began, SnapshotBegan)
    assert isinstance(ended, SnapshotEnded)
    assert isinstance(told[0], LinkSeen)
    assert [e.event for e in told if isinstance(e, FactSeen)] == list(measured)
    assert {e.clock for e in told} == {5.0}


def test_facts_that_follow_from_links_or_are_over_are_left_out() -> None:
    measured = (fact(CARRIER.name), fact("x.y", lifetime_s=2.0), fact("x.z", lifetime_s=2.5))
    told = snapshot_after(clock=3.0, measured=measured)
    assert [e.event.fact for e in told if isinstance(e, FactSeen)] == ["x.z"]


def test_a_log_begins_with_so_many_facts_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FACTS", 2)
    told = snapshot_after(measured=tuple(fact(f"x.y{number}") for number in range(5)))
    assert [e.event.fact for e in told if isinstance(e, FactSeen)] == ["x.y0", "x.y1"]
