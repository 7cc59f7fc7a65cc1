"""Decode what others sent, so that there is one error for all that can be wrong with it."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

T_co = TypeVar("T_co", covariant=True)


class Decoder(Protocol[T_co]):
    """A decoder of msgspec, for msgpack or JSON."""

    def decode(self, data: bytes, /) -> T_co:
        """Return the value of ``data``."""


def decoded(decoder: Decoder[T_co], data: bytes) -> T_co:
    """Return what ``data`` says.

    msgspec lets two errors through that are none of its own: of text that is not UTF-8, and of values
    within values so deep that the interpreter gives up.

    Raises:
        msgspec.DecodeError: it is not what the decoder expects.
    """
    try:
        return decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
