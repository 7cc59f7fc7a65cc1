"""Scripts of both sides, turn by turn."""

from __future__ import annotations

import msgspec
import pytest

from sessionlayer.association import Association
from sessionlayer.commands import (
    AdoptionRefused,
    CheckAdoption,
    FinishMove,
    FreezeHeld,
    MoveRefused,
    PathFailed,
    PathValidated,
    PeerHeard,
    PeerSilent,
    RebindForPeer,
    ReleaseHeld,
    SessionAdopted,
    SessionReleased,
)
from sessionlayer.errors import LocalProtocolError
from sessionlayer.messages import Release, encode
from sessionlayer.transitions import AssociationState, IllegalTransitionError, SessionState
from sessionlayer.values import Checked, Departure, Failed, Moved, Rebound
from tests.sessionlayer.pairs import shake_hands
from tests.sessionlayer.playbook import CONNECTION, HOMES, Playbook, only

NEW = "10.9.0.1"
OTHER_NEW = "10.9.0.2"


def rebound(session_id: bytes, address: str = HOMES[1], port: int = 22) -> list[Rebound]:
    return [Rebound(session_id=session_id, address=address, port=port, received=3000)]


def states(play: Playbook, session_id: bytes) -> tuple[SessionState, SessionState]:
    first, second = (side.session_state(session_id) for side in play.sides)
    return first, second


# One move, when nothing goes wrong.


def test_a_move_takes_one_round_trip_and_a_word_at_the_end() -> None:
    play = Playbook()
    session_id = play.adopted()
    assert play.move(0, session_id, NEW) == []
    (order,) = only(play.deliver()[1], RebindForPeer).entries
    assert (order.address, order.port, order.received, order.sent) == (NEW, 50_000, 1000, 2000)
    assert (order.epoch, order.in_place, order.wanted) == (1, False, None)
    assert states(play, session_id) == (SessionState.ASKING, SessionState.REBINDING)

    play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
    (arrival,) = only(play.deliver()[0], FinishMove).entries
    assert (arrival.address, arrival.port, arrival.received) == (HOMES[1], 22, 3000)
    assert states(play, session_id) == (SessionState.FINISHING, SessionState.HOLDING)

    play.take(0, play.sides[0].moved([Moved(session_id=session_id)], play.now))
    assert states(play, session_id) == (SessionState.CONFIRMING, SessionState.HOLDING)
    play.deliver()
    assert states(play, session_id) == (SessionState.SETTLED, SessionState.SETTLED)
    records = [side.record(session_id) for side in play.sides]
    assert records[0].connection == records[1].connection.mirrored()
    assert records[0].connection == CONNECTION.with_local(NEW, 50_000)
    assert [record.moves for record in records] == [1, 1]


def test_many_sessions_travel_together() -> None:
    play = Playbook()
    connections = [CONNECTION.with_local(HOMES[0], 40_000 + n) for n in range(50)]
    play.take(0, play.sides[0].adopt(connections, play.now))
    checks = [c for c in play.deliver()[1] if isinstance(c, CheckAdoption)]
    proposals = [p for check in checks for p in check.proposals]
    assert {p.connection.mirrored() for p in proposals} == set(connections)
    results = [Checked(session_id=p.session_id, reason=None) for p in proposals]
    play.take(1, play.sides[1].adoption_checked(results))
    play.deliver()
    departures = [
        Departure(session_id=p.session_id, address=NEW, port=1 + n, received=n, sent=n, in_place=False)
        for n, p in enumerate(proposals)
    ]
    handoffs, commands = play.sides[0].move(departures, play.path(NEW, HOMES[1]), play.now)
    assert len(handoffs) == len(commands) <= 3
    play.take(0, commands)
    orders = [c for c in play.deliver()[1] if isinstance(c, RebindForPeer)]
    assert [e.port for order in orders for e in order.entries] == [1 + n for n in range(50)]


# Repetition, collision, refusal.


def test_an_unanswered_request_is_repeated_for_ever_and_the_answer_comes_from_memory() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    only(play.deliver()[1], RebindForPeer)
    play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
    play.lose()
    play.wait(0.1, side=0)
    wanted = play.deliver()
    assert wanted[1] == []
    only(wanted[0], FinishMove)


def test_the_client_goes_on_and_the_server_gives_way_with_its_own_new_address() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.move(1, session_id, OTHER_NEW)
    wanted = play.deliver()
    assert wanted[0] == []
    (order,) = only(wanted[1], RebindForPeer).entries
    assert order.wanted == (OTHER_NEW, 50_000)
    play.take(1, play.sides[1].rebound(rebound(session_id, *order.wanted), play.now))
    (arrival,) = only(play.deliver()[0], FinishMove).entries
    assert (arrival.address, arrival.port) == (OTHER_NEW, 50_000)


def test_a_refusal_where_nothing_moved_thaws_and_tells_the_peer() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.deliver()
    failed = [Failed(session_id=session_id, reason="not permitted")]
    play.take(1, play.sides[1].rebound(failed, play.now))
    refused = only(play.deliver()[0], MoveRefused)
    assert (refused.epoch, refused.reason, refused.thaw) == (1, "not permitted", True)
    assert states(play, session_id) == (SessionState.SETTLED, SessionState.SETTLED)


def test_a_refusal_of_a_move_ahead_of_the_answer_leaves_it_frozen() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW, in_place=True)
    play.deliver()
    play.take(1, play.sides[1].rebound([Failed(session_id=session_id, reason="no")], play.now))
    wanted = play.deliver()[0]
    assert [type(command) for command in wanted] == [FreezeHeld, MoveRefused]
    assert not only(wanted, MoveRefused).thaw
    assert play.sides[0].session_state(session_id) is SessionState.PARKED


def test_a_session_that_the_peer_forgot_is_refused_as_unknown() -> None:
    play = Playbook()
    session_id = play.adopted()
    restart(play, 1, keep_sessions=False)
    play.move(0, session_id, NEW)
    refused = only(play.deliver()[0], MoveRefused)
    assert refused.unknown
    assert not refused.thaw


def test_a_side_that_forgot_an_epoch_asks_above_it() -> None:
    play = Playbook()
    session_id = play.adopted()
    old_records = play.sides[0].records()
    for _move in range(3):
        play.move(0, session_id, NEW)
        play.deliver()
        play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
        play.deliver()
        play.take(0, play.sides[0].moved([Moved(session_id=session_id)], play.now))
        play.deliver()
    restart(play, 0)
    play.sides[0] = renewed(play, 0, old_records)
    play.move(0, session_id, NEW)
    (order,) = only(play.deliver()[1], RebindForPeer).entries
    assert order.epoch == 4


def restart(play: Playbook, side: int, *, keep_sessions: bool = True) -> None:
    """Start one daemon again; the other goes on with the new keys."""
    records = play.sides[side].records() if keep_sessions else ()
    play.sides[side] = renewed(play, side, records)


def renewed(play: Playbook, side: int, records: tuple[object, ...]) -> Association:
    both = shake_hands(play.random, play.keys, HOMES)
    other = 1 - side
    play.take(other, play.sides[other].renew(both[other], play.path(HOMES[other], HOMES[side]), play.now))
    return Association(
        both[side],
        path=play.path(HOMES[side], HOMES[other]),
        entropy=play.random.randbytes,
        now=play.now,
        sessions=records,  # type: ignore[arg-type]
    )


def test_work_on_the_socket_cannot_be_overtaken() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.deliver()
    assert not play.sides[1].may_move(session_id)
    refused = only(play.move(1, session_id, OTHER_NEW), MoveRefused)
    assert refused.epoch == 0
    assert "rebinding" in refused.reason
    play.move(0, session_id, OTHER_NEW)
    assert play.deliver()[1] == []
    play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
    play.deliver()
    play.wait(0.1, side=0)
    (order,) = only(play.deliver()[1], RebindForPeer).entries
    assert (order.epoch, order.address) == (2, OTHER_NEW)


def test_an_abandoned_move_stays_frozen_and_yields_to_the_peer() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.lose()
    assert play.sides[0].abandon(session_id) == (FreezeHeld(session_id=session_id),)
    play.move(1, session_id, OTHER_NEW)
    (order,) = only(play.deliver()[0], RebindForPeer).entries
    assert (order.epoch, order.address) == (2, OTHER_NEW)


# Holding.


def test_a_held_connection_is_frozen_after_a_while_and_thawed_when_the_mover_is_there() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.deliver()
    play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
    play.deliver()
    assert play.wait(0.79, side=1) == []
    assert play.wait(0.02, side=1) == [FreezeHeld(session_id=session_id)]
    play.lose()
    play.take(0, play.sides[0].moved([Moved(session_id=session_id)], play.now))
    released = only(play.deliver()[1], ReleaseHeld)
    assert released.mover_in_place
    assert states(play, session_id) == (SessionState.SETTLED, SessionState.SETTLED)


def test_a_frozen_connection_is_made_silent_anew_when_the_mover_asks_again() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.deliver()
    play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
    play.lose()
    only(play.wait(0.9, side=1), FreezeHeld)
    play.lose()
    play.wait(2.0, side=0)
    wanted = play.deliver()
    assert not only(wanted[1], ReleaseHeld).mover_in_place
    only(wanted[0], FinishMove)
    only(play.wait(0.9, side=1), FreezeHeld)


def test_a_mover_that_is_in_place_needs_no_holding() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW, in_place=True)
    (order,) = only(play.deliver()[1], RebindForPeer).entries
    assert order.in_place
    play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
    assert play.sides[1].session_state(session_id) is SessionState.SETTLED


def test_a_mover_in_place_for_another_place_of_ours_is_held_back_for() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(1, session_id, OTHER_NEW)
    play.lose()
    play.move(0, session_id, NEW, in_place=True)
    (order,) = only(play.deliver()[1], RebindForPeer).entries
    assert not order.in_place
    play.take(1, play.sides[1].rebound(rebound(session_id, OTHER_NEW, 50_000), play.now))
    assert play.sides[1].session_state(session_id) is SessionState.HOLDING


def test_a_mover_in_place_that_gets_no_answer_is_frozen_before_its_kernel_probes() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW, in_place=True)
    assert only(play.wait(0.9, side=0), FreezeHeld).session_id == session_id
    play.move(0, session_id, OTHER_NEW)
    assert play.wait(2.0, side=0) == []


# Adoption and release.


def test_offers_of_both_sides_become_one_session_with_the_clients_id() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    play.take(1, play.sides[1].adopt([CONNECTION.mirrored()], play.now))
    wanted = play.deliver()
    assert wanted[0] == []
    (proposal,) = only(wanted[1], CheckAdoption).proposals
    checked = [Checked(session_id=proposal.session_id, reason=None)]
    adopted = only(play.take(1, play.sides[1].adoption_checked(checked)), SessionAdopted)
    assert only(play.deliver()[0], SessionAdopted).session_id == adopted.session_id
    assert play.wait(12.0, side=1) == [PeerSilent()]
    assert len(play.sides[0].records()) == len(play.sides[1].records()) == 1


def test_a_refused_offer_says_why() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    (proposal,) = only(play.deliver()[1], CheckAdoption).proposals
    results = [Checked(session_id=proposal.session_id, reason="the policy says never")]
    play.take(1, play.sides[1].adoption_checked(results))
    refused = only(play.deliver()[0], AdoptionRefused)
    assert refused == AdoptionRefused(connection=CONNECTION, reason="the policy says never")


def test_an_offer_is_repeated_and_given_up_after_a_while() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    refused = only(play.wait(10.1, side=0), AdoptionRefused)
    assert "does not answer" in refused.reason
    assert play.lose() > 10


def test_a_known_connection_keeps_its_session() -> None:
    play = Playbook()
    session_id = play.adopted()
    assert play.sides[0].adopt([CONNECTION], play.now) == ()
    restart(play, 0, keep_sessions=False)
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    wanted = play.deliver()
    assert wanted[1] == []
    assert only(wanted[0], SessionAdopted).session_id == session_id


def test_a_release_is_repeated_until_the_peer_knows() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.take(0, play.sides[0].release(session_id, play.now))
    play.lose()
    play.wait(0.1, side=0)
    assert only(play.deliver()[1], SessionReleased).session_id == session_id
    assert play.sides[0].records() == play.sides[1].records() == ()
    play.wait(0.5, side=0)
    assert play.lose() == 0
    late = play.sides[1].rebound(rebound(session_id), play.now)
    assert late == ()


# Signs of life.


def test_a_silent_peer_is_noticed_within_three_seconds_and_heard_again() -> None:
    play = Playbook()
    play.wait(2.5, side=0)
    play.lose()
    assert play.wait(0.6, side=0) == [PeerSilent()]
    silent = play.sides[0].state
    play.wait(1.0, side=0)
    assert PeerHeard() in play.deliver()[0]
    assert (silent, play.sides[0].state) == (AssociationState.SILENT, AssociationState.HEARD)


def test_a_path_is_validated_without_steering() -> None:
    play = Playbook()
    path = play.path(NEW, HOMES[1])
    play.take(0, play.sides[0].validate_path(path, play.now))
    play.now += 0.030
    validated = only(play.deliver()[0], PathValidated)
    assert (validated.path, round(validated.rtt_s, 3)) == (path, 0.030)
    assert play.sides[1].path.remote_address == HOMES[0]


def test_a_path_that_leads_nowhere_fails_after_a_second() -> None:
    play = Playbook()
    play.take(0, play.sides[0].validate_path(play.path(NEW, HOMES[1]), play.now))
    assert only(play.wait(1.01, side=0), PathFailed).path.local_address == NEW
    play.deliver()
    assert play.wait(0.5, side=0) == []


def test_a_heartbeat_over_another_path_steers_and_an_overtaken_one_does_not() -> None:
    play = Playbook()
    play.wait(0.0, side=0)
    overtaken = play.in_flight.pop()
    play.sides[0].use_path(play.path(NEW, HOMES[1]))
    play.wait(1.0, side=0)
    play.deliver()
    assert play.sides[1].path.remote_address == NEW
    play.in_flight.append(overtaken)
    play.deliver()
    assert play.sides[1].path.remote_address == NEW


def test_a_silent_peer_is_looked_for_at_the_addresses_that_it_named() -> None:
    play = Playbook()
    play.sides[1].set_addresses((HOMES[1], OTHER_NEW))
    play.wait(0.0, side=1)
    play.deliver()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.wait(1.0, side=0)
    targets = {path.local_address for _side, _data, path in play.in_flight}
    assert targets == {HOMES[1], OTHER_NEW}


# What must not matter, and what must not be done.


def test_what_is_authentic_but_malformed_is_counted_and_nothing_more() -> None:
    play = Playbook()
    sealer = play.sides[0]._wire._channel
    for plaintext in (b"", b"\x93\x01", msgspec.msgpack.encode([99]), encode(Release(sessions=(b"x",)))):
        datagram = sealer.seal(plaintext)
        assert play.sides[1].receive(datagram, play.path(HOMES[1], NEW), play.now) == ()
    assert (play.sides[1].counters.malformed, play.sides[1].counters.dropped) == (4, 0)
    assert play.sides[1].path.remote_address == HOMES[0]


def test_rubbish_and_the_keys_of_before_are_dropped() -> None:
    play = Playbook()
    play.wait(0.0, side=0)
    restart(play, 1)
    assert play.deliver() == {0: [], 1: []}
    assert play.sides[1].receive(b"rubbish", play.path(HOMES[1], HOMES[0]), play.now) == ()
    assert play.sides[1].counters.dropped == 2


def test_our_own_mistakes_are_named() -> None:
    play = Playbook()
    session_id = play.adopted()
    with pytest.raises(LocalProtocolError, match="no session"):
        play.move(0, bytes(16), NEW)
    with pytest.raises(IllegalTransitionError, match="`settled`"):
        play.sides[0].abandon(session_id)
    with pytest.raises(IllegalTransitionError, match="`settled`"):
        play.sides[0].moved([Moved(session_id=session_id)], play.now)
    with pytest.raises(LocalProtocolError, match="no session"):
        play.sides[0].release(bytes(16), play.now)
    stranger = shake_hands(play.random, play.keys[::-1], HOMES)[0]
    with pytest.raises(LocalProtocolError, match="another peer"):
        play.sides[0].renew(stranger, play.path(HOMES[0], HOMES[1]), play.now)


def test_rebound_without_an_order_is_our_own_mistake() -> None:
    play = Playbook()
    session_id = play.adopted()
    with pytest.raises(LocalProtocolError, match="`settled`"):
        play.sides[0].rebound(rebound(session_id), play.now)
