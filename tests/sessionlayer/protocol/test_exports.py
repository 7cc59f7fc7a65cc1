"""Exported attributes: told when a session goes on, in parts, over a network that loses and reorders."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionlayer.continuations.limits import ATTRIBUTES_MAX, EXPORTED_TOTAL_MAX, NAME_MAX
from sessionlayer.protocol.attributes import Outgoing, name_of, pack
from sessionlayer.protocol.commands import AttributesImported, RebindForPeer
from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.limits import EXPORT_NAME_MAX, EXPORT_TIMEOUT_S, EXPORT_TURN_BYTES
from sessionlayer.protocol.messages import Exported, ExportedPart
from tests.sessionlayer.protocol.playbook import NEW, Playbook, only, rebound

SMALL = {"index": b"42"}
LARGE = {f"name {number}": bytes([number]) * 1600 for number in range(10)}


def told(play: Playbook, session_id: bytes, values: dict[str, bytes], side: int = 0) -> None:
    play.sides[side].export(session_id, values)
    play.sides[side].tell_exported(session_id, play.now)


def imports(play: Playbook, session_id: bytes, side: int = 1) -> object:
    return play.sides[side].imported(session_id)


def turn(play: Playbook, side: int = 0) -> int:
    """Let a side do what is due now; return how many datagrams that were."""
    before = len(play.in_flight)
    play.take(side, play.sides[side].handle_timer(play.now))
    return len(play.in_flight) - before


@pytest.mark.parametrize("values", [{}, SMALL, LARGE], ids=["none", "small", "large"])
def test_the_peer_learns_what_was_exported_when_the_session_goes_on(values: dict[str, bytes]) -> None:
    play = Playbook()
    session_id = play.adopted()
    play.sides[0].export(session_id, values)
    play.wait(5.0, side=0)
    play.deliver()
    assert imports(play, session_id) is None
    play.sides[0].tell_exported(session_id, play.now)
    turn(play)
    assert play.deliver()[1] == [AttributesImported(session_id=session_id)]
    assert imports(play, session_id) == values
    assert imports(play, session_id, side=0) is None


def test_what_is_acknowledged_is_not_repeated() -> None:
    play = Playbook()
    session_id = play.adopted()
    told(play, session_id, LARGE)
    turn(play)
    play.deliver()
    assert turn(play) == 0
    play.now += 0.5
    assert turn(play) == 0


def test_what_is_lost_is_repeated_and_nothing_else() -> None:
    play = Playbook()
    session_id = play.adopted()
    told(play, session_id, LARGE)
    sent = turn(play)
    assert sent > 10
    del play.in_flight[3:5]
    play.deliver()
    assert imports(play, session_id) is None
    play.now += 0.03
    assert turn(play) == 2
    play.deliver()
    assert imports(play, session_id) == LARGE


def test_a_set_that_the_peer_has_costs_one_datagram_when_the_session_goes_on_again() -> None:
    play = Playbook()
    session_id = play.adopted()
    for expected in (True, False, False):
        told(play, session_id, LARGE)
        count = turn(play)
        assert (count > 1) == expected
        assert bool([c for c in play.deliver()[1] if isinstance(c, AttributesImported)]) == expected


def test_a_daemon_that_was_started_anew_is_told_everything_again() -> None:
    play = Playbook()
    session_id = play.adopted()
    told(play, session_id, LARGE)
    turn(play)
    play.deliver()
    play.restart(1)
    assert imports(play, session_id) is None
    told(play, session_id, LARGE)
    assert turn(play) == 1
    play.deliver()
    assert turn(play) > 10
    play.deliver()
    assert imports(play, session_id) == LARGE


def test_an_older_set_never_takes_the_place_of_a_newer_one() -> None:
    play = Playbook()
    session_id = play.adopted()
    told(play, session_id, LARGE)
    turn(play)
    overtaken, play.in_flight = play.in_flight, []
    told(play, session_id, SMALL)
    turn(play)
    play.deliver()
    play.in_flight = overtaken
    play.deliver()
    assert imports(play, session_id) == SMALL
    assert play.sides[1].counters.dropped == 0


def test_a_set_that_was_taken_back_in_mid_telling_does_not_complete_later() -> None:
    play = Playbook()
    session_id = play.adopted()
    told(play, session_id, SMALL)
    turn(play)
    play.deliver()
    told(play, session_id, LARGE)
    turn(play)
    overtaken = [play.in_flight.pop() for _ in range(5)]
    play.deliver()
    told(play, session_id, SMALL)
    turn(play)
    play.deliver()
    play.in_flight = overtaken
    play.deliver()
    assert imports(play, session_id) == SMALL


def test_the_two_ends_know_in_advance_what_they_may_wait_for() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.sides[0].export(session_id, SMALL)
    play.sides[1].export(session_id, LARGE)
    play.move(0, session_id, NEW)
    only(play.deliver()[1], RebindForPeer)
    assert play.sides[1].imports_pending(session_id)
    assert not play.sides[0].imports_pending(session_id)
    play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
    play.deliver()
    assert play.sides[0].imports_pending(session_id)
    for side in (0, 1):
        play.sides[side].tell_exported(session_id, play.now)
        turn(play, side)
    play.deliver()
    assert not any(side.imports_pending(session_id) for side in play.sides)
    assert (imports(play, session_id), imports(play, session_id, side=0)) == (SMALL, LARGE)


def test_a_peer_that_acknowledges_nothing_is_left_alone_after_a_while() -> None:
    play = Playbook()
    session_id = play.adopted()
    told(play, session_id, SMALL)
    play.wait(EXPORT_TIMEOUT_S + 2, side=0)
    play.lose()
    heartbeats = play.sides[0].next_deadline()
    play.now = heartbeats
    assert turn(play) == len({play.sides[0].path})


def test_many_sessions_share_datagrams_and_take_turns() -> None:
    play = Playbook()
    first = play.adopted()
    outgoing = Outgoing(pack(LARGE))
    sessions = play.sides[0]._exports._sessions
    others = [bytes([number + 1]) * 16 for number in range(40)]
    for other in others:
        sessions[other] = sessions[first].restored(sessions[first].record(play.keys[1].public_bytes))
    turn(play)
    play.lose()  # the heartbeat
    for session_id in others:
        told(play, session_id, LARGE)
    assert turn(play) <= EXPORT_TURN_BYTES // 1024 + len(outgoing.parts)
    assert turn(play) == 0
    play.lose()
    for session_id in others:
        told(play, session_id, SMALL)
    play.now += 0.01
    assert turn(play) < len(others) / 5


@pytest.mark.parametrize("content", [b"\xc1", msgspec.msgpack.encode({"a": 1}), msgspec.msgpack.encode([1])])
def test_what_is_no_set_counts_as_malformed(content: bytes) -> None:
    play = Playbook()
    session_id = play.adopted()
    part = ExportedPart(session=session_id, name=name_of(content), number=0, count=1, data=content)
    lie = ExportedPart(session=session_id, name=bytes(8), number=0, count=1, data=pack(SMALL))
    for entry in (part, lie):
        play.take(0, (play.sides[0]._wire.send(Exported(entries=(entry,))),))
    assert play.deliver() == {0: [], 1: []}
    assert play.sides[1].counters.malformed == 2
    assert imports(play, session_id) is None


def test_a_session_that_is_not_known_is_passed_over() -> None:
    play = Playbook()
    session_id = play.adopted()
    told(play, session_id, SMALL)
    turn(play)
    released = play.sides[1].release(session_id, play.now)
    assert play.deliver()[1] == []
    play.take(1, released)
    play.deliver()
    play.now += 0.5
    assert turn(play) == 0
    with pytest.raises(LocalProtocolError, match="no session"):
        play.sides[0].tell_exported(session_id, play.now)


def test_everything_that_may_be_exported_fits() -> None:
    assert EXPORT_NAME_MAX == NAME_MAX
    each = EXPORTED_TOTAL_MAX // ATTRIBUTES_MAX - 4
    names = [f"{number:04}" for number in range(ATTRIBUTES_MAX)]
    assert len(pack(dict.fromkeys(names, bytes(each)))) > EXPORTED_TOTAL_MAX
    pack({"name": bytes(EXPORTED_TOTAL_MAX - 4)})
    with pytest.raises(LocalProtocolError, match="at most"):
        pack({"name": bytes(2 * EXPORTED_TOTAL_MAX)})
    with pytest.raises(LocalProtocolError, match="names"):
        pack({"n" * (EXPORT_NAME_MAX + 1): b""})


sets = st.dictionaries(st.text(max_size=5), st.binary(max_size=3000), max_size=4)
steps = st.lists(st.tuples(st.integers(0, 1), sets, st.sampled_from(["", "", "restart"])), max_size=6)


@settings(deadline=None, max_examples=60)
@given(steps=steps, seed=st.randoms(use_true_random=False))
def test_a_bad_network_delays_and_changes_nothing(steps: list[tuple[int, Any, str]], seed: Any) -> None:
    play = Playbook()
    session_id = play.adopted()
    last: list[dict[str, bytes] | None] = [None, None]
    for side, values, event in steps:
        if event:
            play.restart(side)
            last[1 - side] = None  # until it is told again
        told(play, session_id, values, side)
        last[side] = values
        disturbed(play, seed)
    for side, values in enumerate(last):
        if values is not None:
            told(play, session_id, values, side)
    for _ in range(20):
        play.now += 0.5
        turn(play, 0), turn(play, 1)
        play.deliver()
    for side, values in enumerate(last):
        if values is not None:
            assert imports(play, session_id, side=1 - side) == values


def disturbed(play: Playbook, seed: Any) -> None:
    """Let some time pass on a link that loses, repeats and reorders; some of it is still on its way then."""
    for _ in range(seed.randrange(4)):
        for side in (0, 1):
            turn(play, side)
        seed.shuffle(play.in_flight)
        late = [sent for sent in play.in_flight if seed.random() < 0.2]
        play.in_flight = [sent for sent in play.in_flight if sent not in late and seed.random() < 0.7]
        play.in_flight += [sent for sent in play.in_flight if seed.random() < 0.2]
        play.deliver()
        play.in_flight = late
        play.now += seed.random() * 0.1
