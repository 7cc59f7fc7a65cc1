"""The peer's moves: followed, held back for, given way to."""

from __future__ import annotations

import pytest

from sessionlayer.protocol.commands import FinishMove, FreezeHeld, MoveRefused, RebindForPeer, ReleaseHeld
from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.transitions import SessionState
from sessionlayer.protocol.values import Moved
from tests.sessionlayer.protocol.playbook import NEW, OTHER_NEW, Playbook, only, rebound


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


def test_work_on_the_socket_cannot_be_overtaken() -> None:
    play = Playbook()
    session_id = play.adopted()
    play.move(0, session_id, NEW)
    play.deliver()
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
    assert play.states(session_id) == (SessionState.SETTLED, SessionState.SETTLED)


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


def test_rebound_without_an_order_is_our_own_mistake() -> None:
    play = Playbook()
    session_id = play.adopted()
    with pytest.raises(LocalProtocolError, match="`settled`"):
        play.sides[0].rebound(rebound(session_id), play.now)
