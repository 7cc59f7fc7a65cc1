"""The control transport: sealed messages over a byte stream, each with its length in front.

    2 bytes   length of what follows, big-endian
    n bytes   ChaCha20-Poly1305 of one message; the nonce is the message's number on this transport

Source: The Noise Protocol Framework, revision 34, section 5.1 (a key and a counter).
"""

from __future__ import annotations

from collections.abc import Iterator

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.noise import CipherState
from sessionlayer.streams.limits import STATEMENT_MAX


class ControlChannel:
    """Both directions of one control transport; keys have 32 bytes."""

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._sealer = CipherState(send_key)
        self._opener = CipherState(receive_key)
        self._buffer = bytearray()

    def seal(self, message: bytes) -> bytes:
        """Return ``message`` as it travels."""
        sealed = self._sealer.encrypt(b"", message)
        return len(sealed).to_bytes(2, "big") + sealed

    def open(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete with ``data``, in pieces of any size.

        Raises:
            RemoteProtocolError: a message is too long or not authentic.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 2:
            length = int.from_bytes(buffer[:2], "big")
            if length > STATEMENT_MAX:
                raise RemoteProtocolError(f"a control message of {length} bytes, at most {STATEMENT_MAX}")
            if len(buffer) < 2 + length:
                return
            sealed = bytes(buffer[2 : 2 + length])
            del buffer[: 2 + length]
            yield self._opener.decrypt(b"", sealed)
