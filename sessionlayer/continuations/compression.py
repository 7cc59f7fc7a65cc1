"""zstd, bounded: what claims to be larger than allowed is refused before it is unpacked.

The compressor's module takes some 30 ms to import, so it is imported when it is first needed: programs that
start from a continuation import this package.

Source: RFC 8878 (the frame header declares the size of the content).
"""

from __future__ import annotations

from typing import Final

from sessionlayer.continuations.errors import ContinuationError

_LEVEL: Final = 3
"""zstd's default: twice as small as level 1 on text, and still some 200 MB/s."""

_WINDOW_MAX: Final = 8 * 1024 * 1024
"""Bytes that a frame may make us keep: the least that RFC 8878 asks decoders to support."""

_DAMAGED: Final = "it is damaged or was made by something else; take the continuation anew"


def compress(data: bytes) -> bytes:
    """Return ``data`` as one zstd frame that declares its size."""
    from zstandard import ZstdCompressor

    return ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)


def decompress(data: bytes, most: int, where: str) -> bytes:
    """Return what `compress` was given.

    Args:
        data: one frame and nothing else.
        most: bytes that it may hold.
        where: what it is, for the error.

    Raises:
        ContinuationError: it is no such frame, or holds more.
    """
    from zstandard import ZstdDecompressor, ZstdError, frame_content_size

    try:
        size = frame_content_size(data)
        if size < 0:
            raise ContinuationError(where, "it does not say how large it is", _DAMAGED)
        if size > most:
            what = f"it holds {size} bytes, at most {most} are allowed"
            raise ContinuationError(where, what, "keep less in the continuation")
        return ZstdDecompressor(max_window_size=_WINDOW_MAX).decompress(data, allow_extra_data=False)
    except ZstdError as error:
        raise ContinuationError(where, f"it can't be unpacked ({error})", _DAMAGED) from error
