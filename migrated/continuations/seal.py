"""Proof that a row of the store is what this daemon wrote.

A continuation is started as the user that its row names, so nobody who can merely write to the file may
choose that. Every row carries an HMAC-SHA256 under a key that is derived from the host key. It covers
everything about the row that is kept in memory, and a digest of what is not: so all rows are judged when
the store is opened, without reading what they hold. It can't tell that somebody put a whole older file in
its place.

Source: RFC 2104 (HMAC), RFC 5869 (HKDF-Expand).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

from sessionlayer.protocol.keys import HostKey
from sessionlayer.protocol.noise import derive_key

_LABEL: Final = b"migrate continuation store 1"

Field = bytes | str | int | float | None


class Seal:
    """Seal rows and judge seals with a key of this host."""

    def __init__(self, host_key: HostKey) -> None:
        self._key = derive_key(host_key.private_bytes, _LABEL)

    def of(self, *fields: Field) -> bytes:
        """Return the seal (32 bytes) of these fields, in this order."""
        # msgpack tells every field's type and length, so that none runs into the next.
        return hmac.digest(self._key, msgspec.msgpack.encode(fields), "sha256")

    def holds(self, seal: bytes, *fields: Field) -> bool:
        """Return whether ``seal`` is that of these fields."""
        return hmac.compare_digest(seal, self.of(*fields))


def digest(*parts: bytes) -> bytes:
    """Return the SHA-256 digest (32 bytes) of parts, each with its length."""
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.digest()
