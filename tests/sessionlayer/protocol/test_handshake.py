"""The handshake over a stream: in pieces, refused, spoilt, late."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.protocol.handshake import Handshake, Judge
from sessionlayer.protocol.keys import HostKey
from sessionlayer.protocol.limits import HANDSHAKE_MESSAGE_MAX, HANDSHAKE_TIMEOUT_S
from sessionlayer.protocol.messages import Hello, pack_address
from sessionlayer.protocol.noise import NoiseXX
from sessionlayer.protocol.transitions import AssociationState

RANDOM = random.Random(5)
KEYS = HostKey.generate(RANDOM.randbytes), HostKey.generate(RANDOM.randbytes)
HELLOS = (
    Hello(index=b"initiatr", port=7001, addresses=(pack_address("192.0.2.1"),)),
    Hello(index=b"respondr", port=7002),
)


def accept(_key: bytes) -> str | None:
    return None


def side(number: int, judge: Judge = accept, prologue: bytes = b"") -> Handshake:
    return Handshake(
        initiator=number == 0,
        host_key=KEYS[number],
        hello=HELLOS[number],
        judge=judge,
        entropy=random.Random(number).randbytes,
        now=0.0,
        prologue=prologue,
    )


def feed(handshake: Handshake, data: bytes, piece: int) -> bytes:
    pieces = (data[start : start + piece] for start in range(0, len(data), piece))
    return b"".join(handshake.receive(part, 0.0) for part in pieces)


@pytest.mark.parametrize("piece", [1, 2, 7, 5000])
def test_both_sides_learn_the_same_in_pieces_of_any_size(piece: int) -> None:
    initiator, responder = side(0), side(1)
    reply = feed(responder, initiator.start(), piece)
    verdict = feed(responder, feed(initiator, reply, piece), piece)
    early = initiator.peer_key, [initiator.established]
    assert early == (KEYS[1].public_bytes, [None])
    assert feed(initiator, verdict, piece) == b""
    ours, theirs = initiator.established, responder.established
    assert ours is not None
    assert theirs is not None
    assert (ours.peer_key, theirs.peer_key) == (KEYS[1].public_bytes, KEYS[0].public_bytes)
    assert (ours.peer_hello, theirs.peer_hello) == (HELLOS[1], HELLOS[0])
    assert (ours.send_key, ours.receive_key) == (theirs.receive_key, theirs.send_key)
    assert ours.send_key != ours.receive_key
    assert (ours.local_index, theirs.local_index) == (HELLOS[0].index, HELLOS[1].index)
    assert initiator.state is responder.state is AssociationState.HEARD


def test_a_stranger_costs_one_reply_of_constant_size() -> None:
    assert {len(side(1).receive(b"\0\x20" + RANDOM.randbytes(32), 0.0)) for _try in range(5)} == {98}


def test_an_initiator_that_refuses_says_nothing_of_itself() -> None:
    initiator, responder = side(0, judge=lambda _key: "not that one"), side(1)
    assert initiator.receive(responder.receive(initiator.start(), 0.0), 0.0) == b""
    assert initiator.refusal == "not that one"
    assert initiator.peer_key == KEYS[1].public_bytes
    assert initiator.established is None
    assert initiator.state is AssociationState.CLOSED


def test_a_responder_that_refuses_says_why() -> None:
    initiator, responder = side(0), side(1, judge=lambda _key: "unknown\x1b[2J key")
    proof = initiator.receive(responder.receive(initiator.start(), 0.0), 0.0)
    initiator.receive(responder.receive(proof, 0.0), 0.0)
    assert responder.refusal == "unknown\x1b[2J key"
    assert initiator.refusal == "the peer refuses: unknown?[2J key"
    assert responder.established is initiator.established is None


def test_another_version_of_the_protocol_fails() -> None:
    initiator, responder = side(0, prologue=b"2"), side(1)
    with pytest.raises(RemoteProtocolError, match="not authentic"):
        initiator.receive(responder.receive(initiator.start(), 0.0), 0.0)


def test_a_length_beyond_the_bound_is_refused_before_anything_is_kept() -> None:
    length = (HANDSHAKE_MESSAGE_MAX + 1).to_bytes(2, "big")
    with pytest.raises(RemoteProtocolError, match="at most"):
        side(1).receive(length, 0.0)


def test_a_slow_peer_is_refused() -> None:
    responder = side(1)
    responder.receive(b"\0", responder.next_deadline())
    with pytest.raises(RemoteProtocolError, match="5 s"):
        responder.receive(b"\0", HANDSHAKE_TIMEOUT_S + 0.1)


def test_one_message_too_many_is_refused() -> None:
    initiator, responder = side(0), side(1)
    proof = initiator.receive(responder.receive(initiator.start(), 0.0), 0.0)
    verdict = responder.receive(proof, 0.0)
    with pytest.raises(RemoteProtocolError, match="`heard`"):
        responder.receive(proof, 0.0)
    with pytest.raises(RemoteProtocolError, match="`heard`"):
        initiator.receive(verdict + verdict, 0.0)


def test_a_peer_may_not_answer_before_we_have_started() -> None:
    with pytest.raises(RemoteProtocolError, match="`new`"):
        side(0).receive(b"\0\0", 0.0)


def test_only_the_initiator_starts_and_once() -> None:
    with pytest.raises(LocalProtocolError, match="initiator"):
        side(1).start()
    initiator = side(0)
    initiator.start()
    with pytest.raises(LocalProtocolError, match="`awaiting reply`"):
        initiator.start()


@pytest.mark.parametrize("payload", [b"", b"\x90", bytes(9)])
def test_a_proof_without_a_hello_is_refused(payload: bytes) -> None:
    responder = side(1)
    stranger = NoiseXX(initiator=True, host_key=KEYS[0], entropy=RANDOM.randbytes, prologue=b"migrate 1\n")
    first = stranger.write_message(b"")
    reply = responder.receive(len(first).to_bytes(2, "big") + first, 0.0)
    stranger.read_message(reply[2:])
    proof = stranger.write_message(payload)
    with pytest.raises(RemoteProtocolError):
        responder.receive(len(proof).to_bytes(2, "big") + proof, 0.0)


@given(st.binary(max_size=300), st.booleans())
def test_rubbish_raises_one_error_only(data: bytes, at_initiator: bool) -> None:
    handshake = side(0 if at_initiator else 1)
    if at_initiator:
        handshake.start()
    with contextlib.suppress(RemoteProtocolError):
        handshake.receive(data, 0.0)
    assert handshake.established is None
