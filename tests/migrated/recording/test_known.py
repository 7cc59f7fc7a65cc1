from __future__ import annotations

from typing import Any

from engine.session import Connection, SessionDescription
from migrated.recording.entries import (
    Entry,
    FactSeen,
    LinkLost,
    LinkSeen,
    SessionAdded,
    SessionRemoved,
    event_entry,
)
from migrated.recording.known import Known
from monitors.events import FactMeasured, LinkGone, LinkState, OperState


def added(name: str, peer: str) -> SessionAdded:
    connection = Connection(
        proto="tcp",
        local_address="10.0.0.5",
        local_port=40000,
        remote_address=peer,
        remote_port=22,
        role="client",
    )
    description = SessionDescription(id=name, connections=(connection,))
    return SessionAdded(description=description, attachment=("eth0", "10.0.0.5"), wall=1.0, clock=1.0)


def link(name: str, index: int) -> Entry:
    state = LinkState(interface=name, index=index, up=True, carrier=True, operstate=OperState.UP)
    return event_entry(state, wall=1.0, clock=1.0)


def fact(value: float | None = 1.0, **about: Any) -> Entry:
    event = FactMeasured(fact="x.y", value=value, **about)
    return event_entry(event, wall=1.0, clock=1.0)


def facts_after(*entries: Entry) -> list[tuple[str, ...]]:
    known = Known()
    for entry in entries:
        known.take_in(entry)
    facts = [
        e.event for e in known.snapshot("rotated", program="", wall=1.0, clock=1.0) if isinstance(e, FactSeen)
    ]
    return [(f.interface, f.peer, f.session, f.connection) for f in facts]


A, B = "192.0.2.1", "192.0.2.2"
FACTS = (
    fact(),
    fact(interface="eth0"),
    fact(interface="eth0", peer=A),
    fact(interface="eth1", peer=A),
    fact(interface="eth1", peer=B),
    fact(session="one"),
    fact(session="one", connection="1"),
    fact(session="two"),
)


def test_facts_of_a_session_go_with_it_and_those_of_a_peer_with_its_last() -> None:
    sessions = (added("one", A), added("two", A), added("three", B))
    first = facts_after(*sessions, *FACTS, SessionRemoved(session="one", wall=1.0, clock=1.0))
    assert first == [
        ("", "", "", ""),
        ("eth0", "", "", ""),
        ("eth0", A, "", ""),
        ("eth1", A, "", ""),
        ("eth1", B, "", ""),
        ("", "", "two", ""),
    ]
    gone = (
        SessionRemoved(session="one", wall=1.0, clock=1.0),
        SessionRemoved(session="two", wall=1.0, clock=1.0),
    )
    assert facts_after(*sessions, *FACTS, *gone) == [
        ("", "", "", ""),
        ("eth0", "", "", ""),
        ("eth1", B, "", ""),
    ]


def test_facts_of_a_link_and_its_paths_go_with_it() -> None:
    links = (link("eth0", 1), link("eth1", 2))
    lost = LinkLost(event=LinkGone(interface="eth1", index=2), wall=1.0, clock=1.0)
    assert facts_after(*links, *FACTS, lost) == [
        ("", "", "", ""),
        ("eth0", "", "", ""),
        ("eth0", A, "", ""),
        ("", "", "one", ""),
        ("", "", "one", "1"),
        ("", "", "two", ""),
    ]


def test_what_is_known_no_longer_can_be_known_again() -> None:
    assert facts_after(fact(session="one"), fact(None, session="one")) == []
    assert facts_after(fact(session="one"), fact(None, session="one"), fact(session="one")) == [
        ("", "", "one", "")
    ]


def test_a_link_with_another_name_has_no_facts() -> None:
    assert facts_after(link("eth0", 1), fact(interface="eth0"), link("wan0", 1)) == []
    assert isinstance(link("eth0", 1), LinkSeen)
