"""Sessions end."""

from __future__ import annotations

from sessionlayer.protocol.commands import SessionReleased
from tests.sessionlayer.protocol.playbook import Playbook, only, rebound


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
