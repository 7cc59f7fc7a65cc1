"""Sealed connections: records of ciphertext *above* the stream, so that a replay repeats ciphertext.

    2 bytes   length of what follows, big-endian
    n bytes   ChaCha20-Poly1305 of at most 16 KiB; the nonce is the record's number in its direction

A record once made is never made again with other contents: the ring keeps it until it is acknowledged.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.noise import TAG_BYTES, nonce_bytes
from sessionlayer.streams.limits import RECORD_MAX


class RecordSealer:
    """Turn plaintext into records under a 32-byte key, from record number ``count`` on."""

    def __init__(self, key: bytes, count: int = 0) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self.count = count

    def wrap(self, plaintext: bytes) -> bytes:
        """Return the records that carry ``plaintext``."""
        view = memoryview(plaintext)
        return b"".join(
            self._record(view[start : start + RECORD_MAX]) for start in range(0, len(view), RECORD_MAX)
        )

    def _record(self, plaintext: memoryview) -> bytes:
        length = (len(plaintext) + TAG_BYTES).to_bytes(2, "big")
        sealed = self._cipher.encrypt(nonce_bytes(self.count), plaintext, length)
        self.count += 1
        return length + sealed


class RecordOpener:
    """Turn records back into plaintext.

    Args:
        key: 32 bytes.
        count: the number of the next record.
        partial: the first bytes of that record, if some have arrived.
    """

    def __init__(self, key: bytes, count: int = 0, partial: bytes = b"") -> None:
        self._cipher = ChaCha20Poly1305(key)
        self.count = count
        self.partial = bytearray(partial)

    def unwrap(self, data: bytes) -> bytes:
        """Return the plaintext of the records that are complete with ``data``.

        Raises:
            RemoteProtocolError: a record is not authentic, too long or too short.
        """
        buffer = self.partial
        buffer += data
        plaintext = []
        start = 0
        with memoryview(buffer) as view:
            while len(view) - start >= 2:
                length = int.from_bytes(view[start : start + 2], "big")
                if not TAG_BYTES < length <= RECORD_MAX + TAG_BYTES:
                    raise RemoteProtocolError(f"a record of {length} bytes")
                if len(view) - start < 2 + length:
                    break
                plaintext.append(self._open(view[start : start + 2], view[start + 2 : start + 2 + length]))
                start += 2 + length
        del buffer[:start]
        return b"".join(plaintext)

    def _open(self, length: memoryview, sealed: memoryview) -> bytes:
        try:
            plaintext = self._cipher.decrypt(nonce_bytes(self.count), sealed, length)
        except InvalidTag as error:
            raise RemoteProtocolError(f"record {self.count} is not authentic") from error
        self.count += 1
        return plaintext
