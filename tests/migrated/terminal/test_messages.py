from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.terminal.messages import (
    CLIENT_DECODER,
    DATA_MAX,
    HOLDER_DECODER,
    Attach,
    Attached,
    Detach,
    Detached,
    Exited,
    FromHolder,
    Input,
    Output,
    Resize,
    TerminalProtocolError,
    encode,
    receive,
)

FROM_CLIENT = (
    Attach(rows=24, columns=80),
    Input(data=b"x" * DATA_MAX),
    Resize(rows=1, columns=9999),
    Detach(),
)
FROM_HOLDER = (
    Attached(name="otter"),
    Output(data=b"x" * DATA_MAX),
    Exited(status=255),
    Detached(reason="expired"),
)


async def received(data: bytes, decoder: msgspec.msgpack.Decoder[object]) -> list[object]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found: list[object] = []
    while (message := await receive(reader, decoder)) is not None:
        found.append(message)
    return found


def test_messages_come_through() -> None:
    for messages, decoder in ((FROM_CLIENT, CLIENT_DECODER), (FROM_HOLDER, HOLDER_DECODER)):
        line = b"".join(encode(message) for message in messages)
        assert asyncio.run(received(line, decoder)) == list(messages)  # type: ignore[arg-type]


def test_a_message_on_the_wire() -> None:
    assert encode(Exited(status=3)) == b"\0\0\0\x15" + b"\x82\xa4type\xa6exited\xa6status\x03"


@given(st.binary(max_size=200))
def test_a_peer_can_raise_one_error_only(data: bytes) -> None:
    for decoder in (CLIENT_DECODER, HOLDER_DECODER):
        try:
            asyncio.run(received(data, decoder))  # type: ignore[arg-type]
        except TerminalProtocolError:
            continue


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xff\xff\xff", "at most 65536"),
        (b"\0\0\0\x05abc", "cut short"),
        (b"\0\0", "cut short"),
        (b"\0\0\0\x01\xc0", "not a message"),
    ],
)
def test_what_is_no_message(data: bytes, words: str) -> None:
    with pytest.raises(TerminalProtocolError, match=words):
        asyncio.run(received(data, CLIENT_DECODER))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(0, 80), (24, 0), (10_000, 80)])
def test_impossible_windows_are_refused(size: tuple[int, int]) -> None:
    message: FromHolder | Resize = Resize(rows=size[0], columns=size[1])
    with pytest.raises(TerminalProtocolError):
        asyncio.run(received(encode(message), CLIENT_DECODER))  # type: ignore[arg-type]
