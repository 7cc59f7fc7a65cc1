"""What monitors are told of connections and paths: all of it, and at the cost of what has changed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine import AttachmentPoint, Connection, PointKey, SessionDescription
from migrated.kernel.freeze import OwnOptions
from migrated.sessions import ManagedSession, SessionTable, SocketState
from migrated.watched import PATHS_MAX, Watched
from sessionlayer.protocol.session import SessionRecord
from sessionlayer.protocol.transitions import SessionState
from sessionlayer.protocol.values import Connection as SessionConnection
from sessionlayer.protocol.values import Role

ETH, WIFI = ("eth0", "10.0.0.5"), ("wlan0", "10.1.0.5")
PEER, OTHER = "192.0.2.9", "192.0.2.10"
KEY = b"k" * 32
OWN = OwnOptions(mark=0, user_timeout_ms=0, transparent=False, keepalive=False, device="")


def point(key: PointKey) -> AttachmentPoint:
    interface, address = key
    family = 6 if ":" in address else 4
    return AttachmentPoint(name=interface, interface=interface, index=1, address=address, family=family)


def session(
    number: int, *, at: PointKey = ETH, peer: str = PEER, key: bytes = KEY, frozen: bool = False
) -> ManagedSession:
    """Return a session without an association, as the daemon has it right after it was started again."""
    connection = SessionConnection(
        local_address=at[1], local_port=40_000, remote_address=peer, remote_port=22, role=Role.CLIENT
    )
    record = SessionRecord(
        session_id=number.to_bytes(16, "big"),
        peer_key=key,
        connection=connection,
        epoch=1,
        state=SessionState.SETTLED,
        moves=0,
    )
    described = Connection(
        proto="tcp", local_address=at[1], local_port=40_000, remote_address=peer, remote_port=22
    )
    return ManagedSession(
        session_id=record.session_id,
        peer_key=key,
        peer=None,
        uid=0,
        pid=1,
        program="ssh",
        description=SessionDescription(id=record.session_id.hex(), connections=(described,)),
        attachment=at,
        adopted_at=0.0,
        since=0.0,
        socket=SocketState(inode=1000 + number, own=OWN, frozen=frozen),
        restored=record,
    )


def move(table: SessionTable, moving: ManagedSession, to: PointKey) -> None:
    """Have a session be somewhere else, as the daemon does."""
    assert moving.restored is not None
    here = moving.restored.connection.with_local(to[1], 50_000)
    moving.attachment, moving.restored = to, replace(moving.restored, connection=here)
    table.touch(moving)


def table_of(*sessions: ManagedSession) -> SessionTable:
    table = SessionTable()
    for each in sessions:
        table.add(each)
    return table


def test_a_live_connection_is_told_of_as_it_is_now() -> None:
    moving = session(1)
    table, watched = table_of(moving), Watched()
    assert watched.update(table, [point(ETH), point(WIFI)])
    (before,) = watched.connections
    move(table, moving, WIFI)
    assert watched.update(table, [point(ETH), point(WIFI)])
    (after,) = watched.connections
    assert (before.session, before.connection, before.interface) == (moving.name, "1001", "eth0")
    assert after == replace(before, local_address=WIFI[1], local_port=50_000, interface="wlan0")


def test_a_frozen_connection_is_left_out_and_its_path_is_still_in_use() -> None:
    parked = session(1)
    table, watched = table_of(parked), Watched()
    watched.update(table, [point(ETH)])
    parked.socket.frozen = True
    table.touch(parked)
    assert watched.update(table, [point(ETH)])
    assert watched.connections == ()
    assert [path.in_use for path in watched.paths] == [True]


def test_paths_lead_from_every_usable_point_of_the_family_to_every_peer_those_in_use_first() -> None:
    table, watched = table_of(session(1, at=WIFI), session(2, at=WIFI, peer=OTHER)), Watched()
    watched.update(table, [point(ETH), point(WIFI), point(("eth0", "2001:db8::5"))])
    told = [(path.interface, path.local_address, path.peer, path.in_use) for path in watched.paths]
    assert told == [
        (*WIFI, PEER, True),
        (*WIFI, OTHER, True),
        (*ETH, PEER, False),
        (*ETH, OTHER, False),
    ]


def test_a_path_is_gone_with_its_point_and_with_the_last_session_of_its_peer() -> None:
    one, other = session(1), session(2)
    table, watched = table_of(one, other), Watched()
    watched.update(table, [point(ETH), point(WIFI)])
    watched.update(table, [point(WIFI)])
    assert [path.interface for path in watched.paths] == ["wlan0"]
    table.remove(one)
    watched.update(table, [point(WIFI)])
    assert [path.interface for path in watched.paths] == ["wlan0"]
    table.remove(other)
    assert watched.update(table, [point(WIFI)])
    assert (watched.paths, watched.connections, watched.sessions) == ((), (), {})


def test_there_is_a_bound_to_paths_and_those_in_use_are_within_it() -> None:
    sessions = [session(n, at=WIFI, peer=f"192.0.{2 + n // 250}.{1 + n % 250}") for n in range(PATHS_MAX)]
    watched = Watched()
    watched.update(table_of(*sessions), [point(ETH), point(WIFI)])
    assert len(watched.paths) == PATHS_MAX
    assert all(path.in_use for path in watched.paths)


def test_a_peer_that_moved_goes_by_its_first_address_and_is_found_at_its_new_one() -> None:
    moved, stayed, also = session(1), session(2, peer=OTHER), session(3)
    for each in (moved, also):
        assert each.restored is not None
        there = each.restored.connection.with_remote("198.51.100.1", 22)
        each.restored = replace(each.restored, connection=there)
    watched = Watched()
    watched.update(table_of(moved, stayed, also, session(4)), [point(ETH)])
    assert {path.peer for path in watched.paths} == {PEER, OTHER}
    assert watched.whereabouts(PEER) == ((KEY, "198.51.100.1"), (KEY, PEER))
    assert watched.whereabouts("203.0.113.1") == ()


def test_nothing_new_is_no_change() -> None:
    known = session(1)
    table, watched = table_of(known), Watched()
    watched.update(table, [point(ETH)])
    before = watched.connections
    table.touch(known)
    assert not watched.update(table, [point(ETH)])
    assert watched.connections is before


KEYS = (KEY, b"o" * 32)
steps = st.lists(
    st.tuples(
        st.sampled_from(["come", "go", "move", "freeze", "look"]),
        st.integers(0, 5),
        st.sampled_from([ETH, WIFI]),
        st.sampled_from([PEER, OTHER]),
        st.sampled_from(KEYS),
    ),
    max_size=40,
)


@given(steps=steps)
def test_however_it_came_about_what_is_told_is_what_there_is(
    steps: list[tuple[str, int, PointKey, str, bytes]],
) -> None:
    table, watched, there = SessionTable(), Watched(), dict[int, ManagedSession]()
    for what, number, at, peer, key in [*steps, ("look", 0, ETH, PEER, KEY)]:
        known = there.get(number)
        match what:
            case "come" if known is None:
                there[number] = session(number, at=at, peer=peer, key=key)
                table.add(there[number])
            case "go" if known is not None:
                table.remove(there.pop(number))
            case "move" if known is not None:
                move(table, known, at)
            case "freeze" if known is not None:
                known.socket.frozen = not known.frozen
                table.touch(known)
            case "look":
                watched.update(table, [point(WIFI)] if at == ETH else [point(ETH), point(WIFI)])
    anew = Watched()
    anew.update(table_of(*there.values()), [point(WIFI)])
    assert set(watched.connections) == set(anew.connections)
    assert set(watched.paths) == set(anew.paths)
    assert {key: set(names) for key, names in watched.sessions.items()} == {
        key: set(names) for key, names in anew.sessions.items()
    }
    for address in (PEER, OTHER):
        assert set(watched.whereabouts(address)) == set(anew.whereabouts(address))
