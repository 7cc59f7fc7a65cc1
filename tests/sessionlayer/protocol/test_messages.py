"""The encoding, read in both directions, cut at every length and fed with rubbish."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.limits import ADDRESSES_MAX, EPOCH_MAX, MESSAGE_MAX, REASON_MAX
from sessionlayer.protocol.messages import (
    AdoptAnswer,
    AdoptEntry,
    AdoptRequest,
    AdoptVerdict,
    AnswerEntry,
    Exported,
    ExportedAck,
    ExportedHave,
    ExportedPart,
    HandoffAnswer,
    HandoffDone,
    HandoffDoneAck,
    HandoffRequest,
    Hello,
    Message,
    MoveEntry,
    Outcome,
    Ping,
    Pong,
    Release,
    ReleaseAck,
    SessionEpoch,
    Verdict,
    batches,
    decode,
    decode_greeting,
    encode,
    pack_address,
    printable,
    shortened,
    unpack_address,
)

SESSION = bytes(range(16))
V4, V6 = pack_address("192.0.2.1"), pack_address("2001:db8::1")
MOVE = MoveEntry(session=SESSION, epoch=3, address=V4, port=22, received=1, sent=2, in_place=True)
ANSWER = AnswerEntry(session=SESSION, epoch=3, outcome=Outcome.DONE, address=V6, port=23, received=7)
OFFER = AdoptEntry(
    session=SESSION, local_address=V4, local_port=1, remote_address=V4, remote_port=2, client=True
)

# Hex of what travels; a change here is a change of the protocol.
TABLE: list[tuple[Message, str]] = [
    (Ping(number=5, probe=True, addresses=(V4,)), "940205c391c404c0000201"),
    (Pong(number=5), "93030590"),
    (
        AdoptRequest(number=1, entries=(OFFER,)),
        "9304019196c410000102030405060708090a0b0c0d0e0fc404c000020101c404c000020102c3",
    ),
    (
        AdoptAnswer(number=1, entries=(AdoptVerdict(session=SESSION, reason="no"),)),
        "9305019193c410000102030405060708090a0b0c0d0e0fc0a26e6f",
    ),
    (
        HandoffRequest(handoff=9, entries=(MOVE,)),
        "930609919ac410000102030405060708090a0b0c0d0e0f03c404c0000201160102c3c0c0c400",
    ),
    (
        HandoffAnswer(handoff=9, entries=(ANSWER,)),
        "930709919bc410000102030405060708090a0b0c0d0e0f0300c41020010db80000000000000000000000011707c0c000a0c400",
    ),
    (
        HandoffDone(entries=(SessionEpoch(session=SESSION, epoch=3),)),
        "92089192c410000102030405060708090a0b0c0d0e0f03",
    ),
    (
        HandoffDoneAck(entries=(SessionEpoch(session=SESSION, epoch=3),)),
        "92099192c410000102030405060708090a0b0c0d0e0f03",
    ),
    (Release(sessions=(SESSION,)), "920a91c410000102030405060708090a0b0c0d0e0f"),
    (ReleaseAck(sessions=(SESSION,)), "920b91c410000102030405060708090a0b0c0d0e0f"),
    (
        Exported(entries=(ExportedPart(session=SESSION, name=bytes(8), number=1, count=2, data=b"abc"),)),
        "920c9195c410000102030405060708090a0b0c0d0e0fc40800000000000000000102c403616263",
    ),
    (
        ExportedAck(entries=(ExportedHave(session=SESSION, name=bytes(8), parts=0b101),)),
        "920d9193c410000102030405060708090a0b0c0d0e0fc408000000000000000005",
    ),
]


@pytest.mark.parametrize(("message", "expected"), TABLE, ids=lambda v: type(v).__name__)
def test_messages_travel_as_written_down(message: Message, expected: str) -> None:
    assert encode(message).hex() == expected
    assert decode(bytes.fromhex(expected)) == message


@pytest.mark.parametrize(("message", "_expected"), TABLE, ids=lambda v: type(v).__name__)
def test_a_message_cut_at_any_length_is_malformed(message: Message, _expected: str) -> None:
    data = encode(message)
    for length in range(len(data)):
        with pytest.raises(RemoteProtocolError):
            decode(data[:length])


@given(st.binary(max_size=1500))
def test_rubbish_raises_one_error_only(data: bytes) -> None:
    for read in (decode, decode_greeting):
        try:
            read(data)
        except RemoteProtocolError:
            continue


@given(st.sampled_from(TABLE), st.data())
def test_a_changed_byte_raises_one_error_only(row: tuple[Message, str], data: st.DataObject) -> None:
    spoilt = bytearray(encode(row[0]))
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(spoilt))
    except RemoteProtocolError:
        return


def test_unknown_fields_at_the_end_are_ignored() -> None:
    assert decode(msgspec.msgpack.encode([3, 5, [], "from a later version", 7])) == Pong(number=5)


def test_missing_fields_get_their_default() -> None:
    assert decode(msgspec.msgpack.encode([2, 5])) == Ping(number=5)


@pytest.mark.parametrize(
    "fields",
    [
        [6, 1, [[b"short", 1, V4, 22, 0, 0]]],
        [6, 1, [[SESSION, 0, V4, 22, 0, 0]]],
        [6, 1, [[SESSION, EPOCH_MAX + 1, V4, 22, 0, 0]]],
        [6, 1, [[SESSION, 1, V4, 0, 0, 0]]],
        [6, 1, [[SESSION, 1, V4, 65_536, 0, 0]]],
        [6, 1, [[SESSION, 1, V4, 22, 2**32, 0]]],
        [6, 1, [[SESSION, 1, b"12345", 22, 0, 0]]],
        [6, 1, [[SESSION, 1, bytes(4), 22, 0, 0]]],
        [6, 1, [[SESSION, 1, pack_address("224.0.0.1"), 22, 0, 0]]],
        [6, 1, [[SESSION, 1, V4, 22, 0, 0, True, bytes(16), 5]]],
        [7, 1, [[SESSION, 1, 4]]],
        [7, 1, [[SESSION, 1, 1, None, None, 0, None, None, 0, "x" * (REASON_MAX + 1)]]],
        [4, 1, [[SESSION, V4, 1, bytes(4), 2, True]]],
        [6, 1, [[SESSION, 1, V4, 22, 0, 0, False, None, None, bytes(9)]]],
        [12, [[SESSION, bytes(8), 2, 2, b""]]],
        [12, [[SESSION, bytes(8), 24, 25, b""]]],
        [12, [[SESSION, bytes(7), 0, 1, b""]]],
        [12, [[SESSION, bytes(8), 0, 1, bytes(1025)]]],
        [13, [[SESSION, bytes(8), 2**24]]],
        [2, 1, False, [V4] * (ADDRESSES_MAX + 1)],
        [2, -1],
        [99, 1],
        [1, 1],
        {"a": 1},
    ],
)
def test_fields_out_of_bounds_are_malformed(fields: object) -> None:
    with pytest.raises(RemoteProtocolError, match=r"malformed|address"):
        decode(msgspec.msgpack.encode(fields))


def test_a_message_longer_than_a_datagram_is_malformed() -> None:
    with pytest.raises(RemoteProtocolError, match="at most"):
        decode(encode(Release(sessions=(SESSION,) * 100)))


def test_greetings_travel_both_ways_and_are_checked() -> None:
    hello = Hello(index=bytes(8), port=7000, addresses=(V4, V6))
    assert decode_greeting(encode(hello)) == hello
    assert decode_greeting(encode(Verdict(hello=hello))) == Verdict(hello=hello)
    with pytest.raises(RemoteProtocolError):
        decode_greeting(encode(Hello(index=bytes(8), port=7000, addresses=(bytes(4),))))
    with pytest.raises(RemoteProtocolError):
        decode_greeting(encode(Verdict(hello=Hello(index=bytes(8), port=7000, addresses=(bytes(5),)))))


@pytest.mark.parametrize("count", [0, 1, 19, 50, 500])
def test_batches_fit_a_datagram_and_lose_nothing(count: int) -> None:
    entries = [
        AnswerEntry(
            session=SESSION,
            epoch=EPOCH_MAX,
            outcome=Outcome.FAILED,
            address=V6,
            port=65_535,
            received=2**32 - 1,
            peer_address=V6,
            peer_port=65_535,
            latest=number,
            reason="é" * (number % REASON_MAX),
        )
        for number in range(count)
    ]
    groups = list(batches(entries))
    assert [entry for group in groups for entry in group] == entries
    assert all(len(encode(HandoffAnswer(handoff=2**62, entries=g))) <= MESSAGE_MAX for g in groups)
    assert count < 50 or len(groups) < count / 2


def test_fifty_connections_of_one_host_ask_in_at_most_three_datagrams() -> None:
    entries = [
        MoveEntry(session=SESSION, epoch=200, address=V4, port=60_000, received=2**32 - 1, sent=2**32 - 1)
        for _number in range(50)
    ]
    assert len(list(batches(entries))) <= 3


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "127.0.0.1"])
def test_addresses_travel_both_ways(address: str) -> None:
    assert unpack_address(pack_address(address)) == address


def test_reasons_are_cut_and_made_harmless() -> None:
    assert shortened("short") == "short"
    assert len(shortened("x" * 1000)) == REASON_MAX
    assert printable("bell\x07 and\x1b[2J clear") == "bell? and?[2J clear"
