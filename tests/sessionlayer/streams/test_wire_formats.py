"""Openings, statements and records, byte by byte and with every byte changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams import secrets
from sessionlayer.streams.channel import ControlChannel
from sessionlayer.streams.inbound import Inbound
from sessionlayer.streams.limits import RECORD_MAX
from sessionlayer.streams.openings import (
    OPENING_HEAD,
    AnswerBody,
    OpeningBody,
    answer_length,
    opening_length,
    parse_opening,
    read_answer,
    read_opening,
    write_answer,
    write_opening,
)
from sessionlayer.streams.records import RecordOpener, RecordSealer
from sessionlayer.streams.statements import Bye, Gone, Ping, Report, Reset, Statement, decode, encode

KEY, OTHER, NONCE = bytes(range(32)), bytes(32), bytes(range(16))
BODY = OpeningBody(received=7, sending_from=3, end=9, purpose=b"p", sealed=True)


def parse(opening: bytes) -> OpeningBody:
    head = opening[: OPENING_HEAD.size]
    assert len(opening) == OPENING_HEAD.size + opening_length(head)
    return read_opening(KEY, parse_opening(head, opening[OPENING_HEAD.size :]))


def test_an_opening_has_the_bytes_that_the_documentation_names() -> None:
    opening = write_opening(KEY, 5, 6, NONCE, BODY)
    assert opening[:4] == b"\xd5MS\x01"
    assert opening[4:20] == secrets.session_id(KEY)
    assert opening[20:32] == bytes.fromhex("00000005 0000000000000006")
    assert opening[32:48] == NONCE
    assert int.from_bytes(opening[48:50], "big") == len(opening) - 50
    assert parse(opening) == BODY


def test_a_change_of_any_byte_of_an_opening_is_noticed() -> None:
    opening = write_opening(KEY, 5, 6, NONCE, BODY)
    for position in range(len(opening)):
        changed = bytearray(opening)
        changed[position] ^= 1
        with pytest.raises((RemoteProtocolError, AssertionError)):  # the latter: another length
            parse(bytes(changed))


def test_an_answer_fits_one_opening_only() -> None:
    opened = secrets.opening_key(KEY, 5, 6, NONCE)
    answer = write_answer(opened, NONCE, AnswerBody(refusal="no"))
    assert answer_length(answer[:18]) == len(answer) - 18
    assert read_answer(opened, answer) == AnswerBody(refusal="no")
    for other in (
        secrets.opening_key(KEY, 5, 7, NONCE),
        secrets.opening_key(KEY, 4, 6, NONCE),
        secrets.opening_key(KEY, 5, 6, bytes(16)),
        secrets.opening_key(OTHER, 5, 6, NONCE),
    ):
        with pytest.raises(RemoteProtocolError, match="not authentic"):
            read_answer(other, answer)


@pytest.mark.parametrize(
    ("statement", "wire"),
    [
        (Ping(number=1), "920301"),
        (Report(connection=2, received=300, ended=True, end=5), "950502cd012cc305"),
        (Reset(connection=2, reason="no"), "930602a26e6f"),
        (Gone(connection=2), "920702"),
        (Bye(code="closed", reason=""), "9308a6636c6f736564a0"),
    ],
)
def test_statements_have_these_bytes(statement: Statement, wire: str) -> None:
    assert encode(statement).hex() == wire
    assert decode(bytes.fromhex(wire)) == statement


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    assert decode(bytes.fromhex("930702c3")) == Gone(connection=2)


@given(data=st.binary(max_size=60))
def test_garbage_raises_one_error(data: bytes) -> None:
    try:
        decode(data)
    except RemoteProtocolError:
        return


@given(messages=st.lists(st.binary(max_size=200), max_size=8), cut=st.integers(1, 50))
def test_the_control_channel_takes_pieces_of_any_size(messages: list[bytes], cut: int) -> None:
    near, far = ControlChannel(KEY, OTHER), ControlChannel(OTHER, KEY)
    travels = b"".join(near.seal(message) for message in messages)
    pieces = [travels[start : start + cut] for start in range(0, len(travels), cut)]
    assert [message for piece in pieces for message in far.open(piece)] == messages


def test_a_control_message_arrives_once_and_unchanged() -> None:
    near, far = ControlChannel(KEY, OTHER), ControlChannel(OTHER, KEY)
    sealed = near.seal(b"hello")
    assert list(far.open(sealed)) == [b"hello"]
    with pytest.raises(RemoteProtocolError, match="not authentic"):
        list(far.open(sealed))
    with pytest.raises(RemoteProtocolError, match="at most"):
        list(far.open(b"\xff\xff"))


@given(
    texts=st.lists(st.binary(min_size=1, max_size=RECORD_MAX * 2 + 5), max_size=4), cut=st.integers(1, 9000)
)
def test_records_come_back_as_they_were(texts: list[bytes], cut: int) -> None:
    sealer, opener = RecordSealer(KEY), RecordOpener(KEY)
    travels = b"".join(map(sealer.wrap, texts))
    pieces = [travels[start : start + cut] for start in range(0, len(travels), cut)]
    assert b"".join(map(opener.unwrap, pieces)) == b"".join(texts)


@pytest.mark.parametrize("position", [0, 2, -1])
def test_a_changed_record_is_noticed(position: int) -> None:
    record = bytearray(RecordSealer(KEY).wrap(b"x" * 300))
    record[position] ^= 2
    opener = RecordOpener(KEY)
    with pytest.raises(RemoteProtocolError):
        opener.unwrap(bytes(record) + bytes(RECORD_MAX))


def test_records_can_neither_be_left_out_nor_repeated() -> None:
    sealer = RecordSealer(KEY)
    first, second = sealer.wrap(b"first"), sealer.wrap(b"second")
    with pytest.raises(RemoteProtocolError, match="record 0"):
        RecordOpener(KEY).unwrap(second)
    with pytest.raises(RemoteProtocolError, match="record 1"):
        RecordOpener(KEY).unwrap(first + first)


def test_the_end_is_handed_out_once_and_can_not_change() -> None:
    inbound = Inbound()
    assert inbound.take(b"abc") == b"abc"
    inbound.state_end(5)
    assert not inbound.finish()
    with pytest.raises(RemoteProtocolError, match="at 5 before"):
        inbound.state_end(4)
    assert inbound.take(b"de") == b"de"
    assert inbound.finish()
    assert not inbound.finish()
    with pytest.raises(RemoteProtocolError, match="ended at byte 5"):
        inbound.take(b"f")


def test_a_gap_is_refused_and_an_overlap_skipped() -> None:
    inbound = Inbound(received=10)
    with pytest.raises(RemoteProtocolError, match="sends from byte 11"):
        inbound.begin(11)
    inbound.begin(7)
    assert inbound.take(b"ab") == b""
    assert inbound.take(b"cde") == b"de"
    assert inbound.received == 12
