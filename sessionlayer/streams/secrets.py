"""The keys of a session, all derived from the one that the handshake left.

Source: RFC 5869 (HKDF), with the SHA-256 pieces of ``sessionlayer.protocol.noise``.
"""

from __future__ import annotations

import struct

from sessionlayer.protocol.handshake import Established
from sessionlayer.protocol.noise import derive_key, hkdf_pair

SESSION_ID_BYTES = 16
NONCE_BYTES = 16

_TO_SERVER, _TO_CLIENT = b"client to server", b"server to client"


def session_key(established: Established) -> bytes:
    """Return the 32-byte key of the session that begins with this handshake, the same on both sides."""
    first, second = established.send_key, established.receive_key
    if not established.initiator:
        first, second = second, first
    return derive_key(hkdf_pair(first, second)[0], b"migrate stream session")


def session_id(key: bytes) -> bytes:
    """Return the session's public 16-byte name."""
    return derive_key(key, b"migrate stream session id")[:SESSION_ID_BYTES]


def opening_key(key: bytes, connection: int, generation: int, nonce: bytes) -> bytes:
    """Return the 32-byte key that seals the opening of one transport; the nonce makes it unique."""
    return derive_key(key, b"migrate opening" + struct.pack(">IQ", connection, generation) + nonce)


def answer_key(opening: bytes, nonce: bytes) -> bytes:
    """Return the 32-byte key that seals the answer with ``nonce`` to the opening of key ``opening``."""
    return derive_key(opening, b"migrate answer" + nonce)


def control_keys(root: bytes, *, client: bool) -> tuple[bytes, bytes]:
    """Return our sending and receiving key of a control transport.

    Args:
        root: the answer's key of this generation, or the session's key for the first control transport.
        client: whether we are the client.
    """
    return _directions(root, b"migrate control ", client=client)


def record_keys(key: bytes, connection: int, *, client: bool) -> tuple[bytes, bytes]:
    """Return our sending and receiving key of a sealed connection; they outlive its transports."""
    return _directions(key, b"migrate records " + struct.pack(">I", connection), client=client)


def _directions(root: bytes, label: bytes, *, client: bool) -> tuple[bytes, bytes]:
    sending, receiving = (_TO_SERVER, _TO_CLIENT) if client else (_TO_CLIENT, _TO_SERVER)
    return derive_key(root, label + sending), derive_key(root, label + receiving)
