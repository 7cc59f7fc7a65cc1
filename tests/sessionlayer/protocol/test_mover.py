"""Our own moves: asked, answered, refused, met by the peer's."""

from __future__ import annotations

from sessionlayer.protocol.commands import CheckAdoption, FinishMove, FreezeHeld, MoveRefused, RebindForPeer
from sessionlayer.protocol.transitions import SessionState
from sessionlayer.protocol.values import Checked, Departure, Failed, Moved
from tests.sessionlayer.protocol.pairs import mirrored
from tests.sessionlayer.protocol.playbook import CONNECTION, HOMES, NEW, OTHER_NEW, Playbook, only, rebound


def test_a_move_takes_one_round_trip_and_a_word_at_the_end() -> None:
    play = Playbook()
    session_id = play.adopted()
    assert play.move(0, session_id, NEW) == []
    (order,) = only(play.deliver()[1], RebindForPeer).entries
    assert (order.address, order.port, order.received, order.sent) == (NEW, 50_000, 1000, 2000)
    assert (order.epoch, order.in_place, order.wanted) == (1, False, None)
    assert play.states(session_id) == (SessionState.ASKING, SessionState.REBINDING)

    play.take(1, play.sides[1].rebound(rebound(session_id), play.now))
    (arrival,) = only(play.deliver()[0], FinishMove).entries
    assert (arrival.address, arrival.port, arrival.received) == (HOMES[1], 22, 3000)
    assert play.states(session_id) == (SessionState.FINISHING, SessionState.HOLDING)

    play.take(0, play.sides[0].moved([Moved(session_id=session_id)], play.now))
    assert play.states(session_id) == (SessionState.CONFIRMING, SessionState.HOLDING)
    play.deliver()
    assert play.states(session_id) == (SessionState.SETTLED, SessionState.SETTLED)
    records = [side.record(session_id) for side in play.sides]
    assert records[0].connection == mirrored(records[1].connection)
    assert records[0].connection == CONNECTION.with_local(NEW, 50_000)
    assert [record.moves for record in records] == [1, 1]


def test_many_sessions_travel_together() -> None:
    play = Playbook()
    connections = [CONNECTION.with_local(HOMES[0], 40_000 + n) for n in range(50)]
    play.take(0, play.sides[0].adopt(connections, play.now))
    checks = [c for c in play.deliver()[1] if isinstance(c, CheckAdoption)]
    proposals = [p for check in checks for p in check.proposals]
    assert {mirrored(p.connection) for p in proposals} == set(connections)
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


def test_a_refusal_where_nothing_moved_thaws_and_tells_the_peer() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.deliver()
    failed = [Failed(session_id=session_id, reason="not permitted")]
    play.take(1, play.sides[1].rebound(failed, play.now))
    refused = only(play.deliver()[0], MoveRefused)
    assert (refused.epoch, refused.reason, refused.thaw) == (1, "not permitted", True)
    assert play.states(session_id) == (SessionState.SETTLED, SessionState.SETTLED)


def test_an_end_that_stays_suspended_leaves_the_other_frozen() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.deliver()
    failed = [Failed(session_id=session_id, reason="its program is away", frozen=True)]
    play.take(1, play.sides[1].rebound(failed, play.now))
    refused = only(play.deliver()[0], MoveRefused)
    assert (refused.reason, refused.thaw, refused.waits) == ("its program is away", False, True)
    assert play.states(session_id) == (SessionState.PARKED, SessionState.SETTLED)
    play.move(1, session_id, OTHER_NEW)
    (order,) = only(play.deliver()[0], RebindForPeer).entries
    assert (order.epoch, order.address) == (2, OTHER_NEW)


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
    play.restart(1, records=())
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
    play.restart(0, records=old_records)
    play.move(0, session_id, NEW)
    (order,) = only(play.deliver()[1], RebindForPeer).entries
    assert order.epoch == 4


def test_a_parked_connection_yields_to_the_peer() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW, in_place=True)
    play.deliver()
    play.take(1, play.sides[1].rebound([Failed(session_id=session_id, reason="no")], play.now))
    play.deliver()
    assert play.sides[0].session_state(session_id) is SessionState.PARKED
    play.move(1, session_id, OTHER_NEW)
    (order,) = only(play.deliver()[0], RebindForPeer).entries
    assert (order.epoch, order.address) == (2, OTHER_NEW)


def test_a_mover_in_place_that_gets_no_answer_is_frozen_before_its_kernel_probes() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW, in_place=True)
    assert only(play.wait(0.9, side=0), FreezeHeld).session_id == session_id
    play.move(0, session_id, OTHER_NEW)
    assert play.wait(2.0, side=0) == []
