"""The descriptors of a whole continuation as they go on record."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from migrated.kernel.guard import Ends
from migrated.resources.connections import ConnectionHandler, ends_in
from migrated.resources.spec import Keep, ResourceError
from sessionlayer.decoding import decoded

FORMAT: Final = 1


class Entry(Struct, frozen=True, kw_only=True, array_like=True):
    """One descriptor.

    Attributes:
        name: by which the program calls it.
        kind: of the handler that knows it.
        state: what the handler needs.
        keep: what stays open for it.
        kept: the position of that among the kept descriptors; -1 for none.
        duplicate_of: the position of the entry whose open file it shares; -1 for none.
    """

    name: str
    kind: str = ""
    state: bytes = b""
    keep: Keep = Keep.NOTHING
    kept: int = -1
    duplicate_of: int = -1


class Bundle(Struct, frozen=True, kw_only=True, array_like=True):
    """All descriptors, in the order of the continuation's."""

    format: int
    entries: tuple[Entry, ...]

    def __bytes__(self) -> bytes:
        """Return it as it is stored."""
        return _encoder.encode(self)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Bundle)
_any_decoder: Final = msgspec.msgpack.Decoder(list[object])


def decode_bundle(data: bytes) -> Bundle:
    """Read what was stored.

    Raises:
        ResourceError: it is damaged, or was written by a newer version.
    """
    try:
        written_by = decoded(_any_decoder, data)[:1]
        if written_by not in ([FORMAT], []):
            raise ResourceError(
                f"the descriptors on record have format {written_by[0]}, and this version knows {FORMAT}; "
                f"install the version that wrote them"
            )
        bundle = decoded(_decoder, data)
    except msgspec.DecodeError as error:
        raise ResourceError(f"what is on record of the descriptors is damaged: {error}") from error
    if any(entry.duplicate_of >= position for position, entry in enumerate(bundle.entries)):
        raise ResourceError(
            "what is on record of the descriptors is damaged: a duplicate without its original"
        )
    return bundle


def released_connections(data: bytes) -> tuple[Ends, ...]:
    """Return the connections of a stored bundle that have no socket: those that must be guarded.

    Raises:
        ResourceError: it is damaged, or was written by a newer version.
    """
    entries = decode_bundle(data).entries
    return tuple(ends_in(entry.state) for entry in entries if entry.kind == ConnectionHandler.kind)
