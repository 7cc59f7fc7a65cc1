"""Whatever bytes come from outside, a decoder of ours either understands them or says so, in one way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrated.control import messages as control
from migrated.resources.bundle import decode_bundle
from migrated.resources.spec import ResourceError
from migrated.terminal import requests
from migrated.terminal.messages import CLIENT_DECODER, TerminalProtocolError, receive
from sessionlayer.application import messages as application
from sessionlayer.continuations import codec
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams import statements

DEEP = 60_000
DEEP_MSGPACK = b"\x91" * DEEP + b"\xc0"
DEEP_JSON = b"[" * DEEP + b"]" * DEEP


def heard(data: bytes) -> object:
    async def run() -> object:
        reader = asyncio.StreamReader()
        reader.feed_data(len(data).to_bytes(4, "big") + data)
        return await receive(reader, CLIENT_DECODER)

    return asyncio.run(run())


BINARY: dict[str, tuple[Callable[[bytes], Any], type[Exception]]] = {
    "a program's request": (application.decode_request, msgspec.DecodeError),
    "the daemon's answer to a program": (application.decode_answer, msgspec.DecodeError),
    "a terminal's message": (heard, TerminalProtocolError),
    "a stream's statement": (statements.decode, RemoteProtocolError),
    "a continuation": (codec.decode, ContinuationError),
    "resources on record": (decode_bundle, ResourceError),
}
LINES: dict[str, tuple[Callable[[bytes], Any], type[Exception]]] = {
    "a command's request": (control.decode_request, msgspec.DecodeError),
    "the daemon's answer to a command": (control.decode_answer, msgspec.DecodeError),
    "a request for a terminal": (requests.decode_request, requests.RequestError),
    "the answer to it": (requests.decode_answer, requests.RequestError),
}
TEXT_AMISS = b"\x82\xa4type\xa2\xff\xfe\xa6number\x01"
# A request of every protocol, with a field that nobody knows.
DEEP_REQUESTS = (
    b"\x84\xa4type\xa6freeze\xa1x" + DEEP_MSGPACK + b"\xa6number\x01\xa7session\xc4\x00",
    b"\x82\xa4type\xa6attach\xa1x" + DEEP_MSGPACK,
    b"\x93\x03\x01" + DEEP_MSGPACK,
    b"\x92\x01" + DEEP_MSGPACK,
)
DEEP_LINES = tuple(
    b'{"type":"%s","protocol":1,"x":%s}' % (kind, DEEP_JSON) for kind in (b"list", b"status", b"done")
)


def understood_or_refused(decode: Callable[[bytes], Any], error: type[Exception], data: bytes) -> None:
    with suppress(error):
        decode(data)


@pytest.mark.parametrize(("decode", "error"), BINARY.values(), ids=BINARY)
@settings(max_examples=80, deadline=None)
@given(
    data=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary() | st.text(),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5),
        max_leaves=12,
    ).map(msgspec.msgpack.encode)
)
def test_any_bytes(decode: Callable[[bytes], Any], error: type[Exception], data: bytes) -> None:
    understood_or_refused(decode, error, data)


@pytest.mark.parametrize(("decode", "error"), LINES.values(), ids=LINES)
@settings(max_examples=80, deadline=None)
@given(
    data=st.binary(max_size=300)
    | st.dictionaries(
        st.sampled_from(["type", "protocol", "name", "session"]), st.text() | st.integers() | st.none()
    ).map(msgspec.json.encode)
)
def test_any_line(decode: Callable[[bytes], Any], error: type[Exception], data: bytes) -> None:
    understood_or_refused(decode, error, data)


@pytest.mark.parametrize("data", [TEXT_AMISS, DEEP_MSGPACK, *DEEP_REQUESTS], ids=len)
@pytest.mark.parametrize(("decode", "error"), BINARY.values(), ids=BINARY)
def test_what_msgspec_does_not_count_as_its_own_error(
    decode: Callable[[bytes], Any], error: type[Exception], data: bytes
) -> None:
    understood_or_refused(decode, error, data)


@pytest.mark.parametrize("data", [b'{"type":"\xff"}', DEEP_JSON, *DEEP_LINES], ids=len)
@pytest.mark.parametrize(("decode", "error"), LINES.values(), ids=LINES)
def test_lines_that_msgspec_does_not_count_as_its_own_error(
    decode: Callable[[bytes], Any], error: type[Exception], data: bytes
) -> None:
    understood_or_refused(decode, error, data)
