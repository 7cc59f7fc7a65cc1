"""What must not matter to an association, and what must not be done with it."""

from __future__ import annotations

import msgspec
import pytest

from sessionlayer.protocol.errors import LocalProtocolError
from sessionlayer.protocol.messages import Release, encode
from sessionlayer.protocol.transitions import IllegalTransitionError
from sessionlayer.protocol.values import Moved
from tests.sessionlayer.protocol.pairs import shake_hands
from tests.sessionlayer.protocol.playbook import HOMES, NEW, Playbook


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
    play.restart(1)
    assert play.deliver() == {0: [], 1: []}
    assert play.sides[1].receive(b"rubbish", play.path(HOMES[1], HOMES[0]), play.now) == ()
    assert play.sides[1].counters.dropped == 2


def test_our_own_mistakes_are_named() -> None:
    play = Playbook()
    session_id = play.adopted()
    with pytest.raises(LocalProtocolError, match="no session"):
        play.move(0, bytes(16), NEW)
    with pytest.raises(IllegalTransitionError, match="`settled`"):
        play.sides[0].moved([Moved(session_id=session_id)], play.now)
    with pytest.raises(LocalProtocolError, match="no session"):
        play.sides[0].release(bytes(16), play.now)
    stranger = shake_hands(play.random, play.keys[::-1], HOMES)[0]
    with pytest.raises(LocalProtocolError, match="another peer"):
        play.sides[0].renew(stranger, play.path(HOMES[0], HOMES[1]), play.now)
