"""The places of a session, ports kept quiet that its peer may go to; and the table of all sessions."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from engine import AttachmentPoint, Connection, SessionDescription
from migrated.kernel.freeze import OwnOptions
from migrated.peers import Peer
from migrated.sessions import PLACES_MAX, Departing, ManagedSession, Places, SessionTable, SocketState
from sessionlayer.protocol.values import Rebinding

HERE, THERE = "127.0.0.1", "127.0.0.2"
POINT = AttachmentPoint(name="lo", interface="lo", index=1, address=THERE, family=4)


@pytest.fixture
def places() -> Iterator[Places]:
    made = Places()
    yield made
    made.free()


def test_a_place_that_was_given_up_is_asked_for_again_with_the_same_port(places: Places) -> None:
    port = places.reserve(HERE)
    places.reserve(THERE)
    assert places.reserve(HERE) == port


def test_a_place_that_was_given_up_goes_on_to_drop_what_comes_in(places: Places) -> None:
    port = places.reserve(HERE)
    places.reserve(THERE)
    with socket.socket() as late:
        late.settimeout(0.05)
        with pytest.raises(TimeoutError):
            late.connect((HERE, port))  # would be refused at once where nobody listens


def test_a_place_that_could_not_be_taken_is_reserved_anew(places: Places) -> None:
    places.reserve(HERE)
    reservation = places.of(HERE)
    assert reservation is not None
    reservation.close()
    places.reserve(HERE)
    again = places.of(HERE)
    assert again is not None
    assert again.fileno() >= 0


def test_as_many_places_are_kept_as_allowed_those_asked_for_last(places: Places) -> None:
    addresses = [f"127.0.0.{number}" for number in range(1, PLACES_MAX + 2)]
    for address in [*addresses[:-1], addresses[0], addresses[-1]]:
        places.reserve(address)
    assert [address for address in addresses if places.of(address) is None] == [addresses[1]]


def test_freed_places_are_free(places: Places) -> None:
    port = places.reserve(HERE)
    places.free()
    assert places.of(HERE) is None
    with socket.socket() as other:
        other.bind((HERE, port))


OWN = OwnOptions(mark=0, user_timeout_ms=0, transparent=False, keepalive=False, device="")


def session(number: int, *, key: bytes = b"k" * 32, frozen: bool = False) -> ManagedSession:
    described = Connection(
        proto="tcp", local_address=HERE, local_port=40_000, remote_address=THERE, remote_port=22
    )
    session_id = number.to_bytes(16, "big")
    return ManagedSession(
        session_id=session_id,
        peer_key=key,
        peer=None,
        uid=0,
        pid=1,
        program="ssh",
        description=SessionDescription(id=session_id.hex(), connections=(described,)),
        attachment=("lo", HERE),
        adopted_at=0.0,
        since=0.0,
        socket=SocketState(inode=1000 + number, own=OWN, frozen=frozen),
    )


def table_of(*sessions: ManagedSession) -> SessionTable:
    table = SessionTable()
    for each in sessions:
        table.add(each)
    return table


def associated(*, silent: bool) -> Peer:
    return cast("Peer", SimpleNamespace(silent=silent))


def test_sessions_are_unsettled_from_when_they_were_touched_until_all_is_over() -> None:
    calm, frozen = session(1), session(2, frozen=True)
    table = table_of(calm, frozen)
    assert table.unsettled() == (frozen,)
    calm.socket.frozen = True
    table.touch(calm)
    frozen.socket.frozen, frozen.departing = False, Departing(to=POINT, urgent=True, because=(), begun=0.0)
    assert set(map(id, table.unsettled())) == {id(calm), id(frozen)}
    calm.socket.frozen, frozen.departing = False, None
    assert table.unsettled() == ()


def test_a_session_that_waits_for_its_peer_to_be_in_place_is_not_settled() -> None:
    held = session(1)
    held.socket.held = Rebinding(
        session_id=held.session_id,
        epoch=1,
        address=THERE,
        port=1,
        received=0,
        sent=0,
        in_place=False,
        wanted=None,
    )
    table = table_of(held)
    assert table.unsettled() == (held,)
    held.socket.held = None
    assert table.unsettled() == ()


def test_a_session_that_has_ended_concerns_nobody() -> None:
    frozen = session(1, frozen=True)
    table = table_of(frozen)
    table.remove(frozen)
    assert (table.unsettled(), table.unheard(), set(table.peer_keys())) == ((), (), set())
    table.remove(frozen)  # some ends are told of twice


def test_sessions_of_silent_peers_and_of_peers_not_yet_heard_are_unheard() -> None:
    keys = [bytes([number]) * 32 for number in range(3)]
    sessions = [session(number, key=keys[number % 3]) for number in range(6)]
    for each in sessions:
        each.peer = {keys[0]: associated(silent=True), keys[1]: associated(silent=False)}.get(each.peer_key)
    table = table_of(*sessions)
    assert {each.session_id[-1] for each in table.unheard()} == {0, 2, 3, 5}
    assert set(table.peer_keys()) == set(keys)
