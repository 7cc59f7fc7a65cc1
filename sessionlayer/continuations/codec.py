"""A continuation as bytes: a magic number, the version of the format, and msgpack in a zstd frame.

    bytes 0-3   `MIGC`
    bytes 4-5   the version, most significant byte first
    the rest    one zstd frame (RFC 8878) that declares its size, of one msgpack map

Fields that a reader doesn't know are ignored, and those that are missing have their defaults: the version
goes up only where an older reader would do something wrong.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from sessionlayer.continuations.compression import compress, decompress
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.limits import DECODED_MAX, ENCODED_MAX, FORMAT_VERSION
from sessionlayer.continuations.validity import check
from sessionlayer.continuations.values import Continuation

_MAGIC: Final = b"MIGC"
_HEADER: Final = struct.Struct(">4sH")
_WHERE: Final = "the continuation"

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Continuation)


def encode(continuation: Continuation) -> bytes:
    """Return a continuation as it is kept and passed on.

    Raises:
        ContinuationError: it breaks a bound, or names something that can't be.
    """
    check(continuation)
    try:
        content = _encoder.encode(continuation)
    except UnicodeEncodeError as error:
        what = f"a text in it is no valid UTF-8 ({error.reason})"
        raise ContinuationError(_WHERE, what, "replace it where the continuation is made") from error
    _check_size(len(content), DECODED_MAX)
    encoded = _HEADER.pack(_MAGIC, FORMAT_VERSION) + compress(content)
    _check_size(len(encoded), ENCODED_MAX)
    return encoded


def decode(data: bytes) -> Continuation:
    """Read a continuation. Bytes from anywhere are safe to read and cost at most a few times `DECODED_MAX`.

    Raises:
        ContinuationError: it is none, is damaged, of a newer version, or breaks a bound.
    """
    _check_size(len(data), ENCODED_MAX)
    _check_header(data)
    content = decompress(data[_HEADER.size :], DECODED_MAX, _WHERE)
    try:
        continuation = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContinuationError(
            _WHERE, f"it can't be read ({error})", "take the continuation anew"
        ) from error
    check(continuation)
    return continuation


def _check_header(data: bytes) -> None:
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        what = f"it does not begin with `{_MAGIC.decode()}`, so it is no continuation"
        raise ContinuationError(_WHERE, what, "hand over what `encode` returned")
    _, version = _HEADER.unpack_from(data)
    if version > FORMAT_VERSION:
        what = (
            f"it was written by a newer migrate-sessions (format {version}, this one reads {FORMAT_VERSION})"
        )
        advice = "install that version here too, or give the session up with `migrate continuations expire`"
        raise ContinuationError(_WHERE, what, advice)
    if version < 1:
        raise ContinuationError(_WHERE, "there is no format 0", "take the continuation anew")


def _check_size(size: int, most: int) -> None:
    if size > most:
        what = f"it has {size} bytes, at most {most} are allowed"
        raise ContinuationError(_WHERE, what, "keep less in attributes and environment")
