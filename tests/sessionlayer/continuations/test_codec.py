from __future__ import annotations

import struct

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sessionlayer.continuations.codec import decode, encode
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import DECODED_MAX, ENCODED_MAX, FORMAT_VERSION
from sessionlayer.continuations.values import Continuation
from tests.sessionlayer.continuations.samples import COMPLETE, PROCESS, continuations


def packed(content: bytes, version: int = FORMAT_VERSION) -> bytes:
    return b"MIGC" + struct.pack(">H", version) + zstandard.ZstdCompressor().compress(content)


@given(continuations())
def test_what_is_encoded_is_decoded(continuation: Continuation) -> None:
    assert decode(encode(continuation)) == continuation


def test_the_format_is_what_the_module_says() -> None:
    data = encode(COMPLETE)
    assert data[:6] == b"MIGC\x00\x01"
    content = zstandard.ZstdDecompressor().decompress(data[6:])
    assert msgspec.msgpack.decode(content)["attributes"] == COMPLETE.attributes


def test_a_small_continuation_is_small() -> None:
    assert len(encode(COMPLETE)) < 512


def test_unknown_fields_are_ignored_and_missing_ones_have_their_defaults() -> None:
    content = msgspec.msgpack.encode({"function": "go_on", "colour": {"deep": [1, 2]}})
    assert decode(packed(content)) == Continuation(function="go_on")


def test_a_newer_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(ContinuationError) as caught:
        decode(packed(b"anything at all", version=FORMAT_VERSION + 1))
    assert caught.value.what == "it was written by a newer migrate-sessions (format 2, this one reads 1)"
    assert "install that version here too" in caught.value.advice


def problem_of(data: bytes) -> ContinuationError | None:
    try:
        decode(data)
    except ContinuationError as error:
        return error
    return None


@given(st.binary(max_size=200))
def test_any_bytes_give_a_continuation_or_the_one_error(data: bytes) -> None:
    for candidate in (data, b"MIGC\x00\x01" + data, packed(data)):
        problem = problem_of(candidate)
        if problem is not None:
            assert str(problem) == f"{problem.where}: {problem.what}; {problem.advice}"


@given(st.data())
def test_no_changed_bit_goes_unnoticed(data: st.DataObject) -> None:
    encoded = bytearray(encode(COMPLETE))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        changed = decode(bytes(encoded))
    except ContinuationError:
        return
    # Some bits of a frame's header say nothing of what is in it.
    assert changed == COMPLETE


@pytest.mark.parametrize("cut", [0, 3, 5, 6, 10, -1])
def test_a_part_is_refused(cut: int) -> None:
    with pytest.raises(ContinuationError):
        decode(encode(COMPLETE)[:cut])


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = packed(bytes(DECODED_MAX + 1))
    assert len(bomb) < 1000

    def explode(*_: object, **__: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(zstandard, "ZstdDecompressor", explode)
    with pytest.raises(ContinuationError, match=f"it holds {DECODED_MAX + 1} bytes, at most {DECODED_MAX}"):
        decode(bomb)


def test_a_frame_that_hides_its_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(DECODED_MAX * 4))
    with pytest.raises(ContinuationError, match="does not say how large it is"):
        decode(b"MIGC\x00\x01" + frame)


def test_more_than_one_frame_is_refused() -> None:
    with pytest.raises(ContinuationError):
        decode(encode(COMPLETE) + zstandard.ZstdCompressor().compress(b"more"))


def test_what_is_too_long_is_refused_on_both_sides() -> None:
    with pytest.raises(ContinuationError, match=f"at most {ENCODED_MAX} are allowed"):
        decode(bytes(ENCODED_MAX + 1))
    environment = {str(number): "x" * 100_000 for number in range(50)}
    with pytest.raises(ContinuationError, match=f"at most {DECODED_MAX} are allowed"):
        encode(Continuation(process=replace(PROCESS, environment=environment)))


def test_many_small_things_do_not_fill_the_memory() -> None:
    many = msgspec.msgpack.encode({"attributes": {str(number): b"" for number in range(1025)}})
    with pytest.raises(ContinuationError, match="length <= 1024"):
        decode(packed(many))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ContinuationError):
        decode(packed(b"\x81\xa1x" + b"\x91" * 100_000 + b"\x00"))


def test_a_text_that_is_none() -> None:
    with pytest.raises(ContinuationError, match="no valid UTF-8"):
        encode(Continuation(process=replace(PROCESS, argv=("a", "\udcff"))))
