"""Sealed datagrams: authentic ones once, anything else never."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionlayer.protocol.limits import DATAGRAM_MAX, MESSAGE_MAX, REPLAY_WINDOW
from sessionlayer.protocol.sealed import HEADER_BYTES, ReplayWindow, SealedChannel, receiver_index

KEY_A, KEY_B = bytes([1]) * 32, bytes([2]) * 32
INDEX_A, INDEX_B = b"aaaaaaaa", b"bbbbbbbb"


def channels() -> tuple[SealedChannel, SealedChannel]:
    return (
        SealedChannel(send_key=KEY_A, receive_key=KEY_B, local_index=INDEX_A, peer_index=INDEX_B),
        SealedChannel(send_key=KEY_B, receive_key=KEY_A, local_index=INDEX_B, peer_index=INDEX_A),
    )


def test_the_header_is_as_written_down() -> None:
    ours, _theirs = channels()
    first, second = ours.seal(b"x"), ours.seal(b"x")
    assert first[:HEADER_BYTES].hex() == "01" + INDEX_B.hex() + "0000000000000000"
    assert second[:HEADER_BYTES].hex() == "01" + INDEX_B.hex() + "0000000000000001"
    assert len(first) == HEADER_BYTES + 1 + 16
    assert first[HEADER_BYTES:] != second[HEADER_BYTES:]
    assert receiver_index(first) == INDEX_B


def test_the_longest_message_fits_a_datagram() -> None:
    ours, theirs = channels()
    datagram = ours.seal(bytes(MESSAGE_MAX))
    assert len(datagram) == DATAGRAM_MAX
    assert theirs.open(datagram) is not None
    assert theirs.open(ours.seal(bytes(MESSAGE_MAX + 1))) is None


def test_only_the_newest_counts_as_newest_and_each_opens_once() -> None:
    ours, theirs = channels()
    first, second, third = (ours.seal(bytes([n])) for n in range(3))
    opened = [theirs.open(datagram) for datagram in (first, third, second)]
    assert [(o.plaintext, o.newest) for o in opened if o] == [(b"\0", True), (b"\2", True), (b"\1", False)]
    assert [theirs.open(datagram) for datagram in (first, second, third)] == [None] * 3


def test_every_truncation_and_every_changed_byte_comes_to_nothing() -> None:
    ours, theirs = channels()
    datagram = ours.seal(b"attack at dawn")
    for length in range(len(datagram)):
        assert theirs.open(datagram[:length]) is None
    for position in range(len(datagram)):
        spoilt = bytearray(datagram)
        spoilt[position] ^= 1
        assert theirs.open(bytes(spoilt)) is None
    assert theirs.open(datagram + b"\0") is None
    assert theirs.open(datagram) is not None


def test_a_forged_counter_does_not_move_the_window() -> None:
    ours, theirs = channels()
    datagram = ours.seal(b"x")
    forged = datagram[:9] + (2**64 - 1).to_bytes(8, "big") + datagram[17:]
    assert theirs.open(forged) is None
    assert theirs.open(datagram) is not None


def test_a_datagram_to_another_index_or_back_to_its_sender_comes_to_nothing() -> None:
    ours, theirs = channels()
    assert ours.open(ours.seal(b"x")) is None
    assert theirs.open(theirs.seal(b"x")) is None


@pytest.mark.parametrize("datagram", [b"", b"\1", bytes(33), b"\2" * 40, b"\1" * (DATAGRAM_MAX + 1)])
def test_what_is_no_datagram_of_ours_has_no_index(datagram: bytes) -> None:
    assert receiver_index(datagram) is None


@given(st.lists(st.integers(0, 3 * REPLAY_WINDOW), max_size=300))
def test_the_window_agrees_with_a_set(counters: list[int]) -> None:
    window, seen = ReplayWindow(), set[int]()
    for counter in counters:
        newest = max(seen, default=-1)
        assert window.fresh(counter) == (counter not in seen and counter > newest - REPLAY_WINDOW)
        if window.fresh(counter):
            assert window.accept(counter) == (counter > newest)
            seen.add(counter)


@given(st.binary(max_size=1400))
def test_rubbish_comes_to_nothing(data: bytes) -> None:
    _ours, theirs = channels()
    assert theirs.open(data) is None
    assert theirs.open(b"\1" + INDEX_B + data) is None


def test_a_shuffled_burst_within_the_window_arrives_whole() -> None:
    ours, theirs = channels()
    burst = [ours.seal(n.to_bytes(2, "big")) for n in range(REPLAY_WINDOW)]
    random.Random(3).shuffle(burst)
    opened = [theirs.open(datagram) for datagram in burst]
    assert sorted(o.plaintext for o in opened if o) == [n.to_bytes(2, "big") for n in range(REPLAY_WINDOW)]
