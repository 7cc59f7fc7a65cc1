"""Where datagrams are sent."""

from __future__ import annotations

from tests.sessionlayer.protocol.playbook import HOMES, NEW, OTHER_NEW, Playbook


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
