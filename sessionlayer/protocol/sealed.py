"""Sealed datagrams: a small header, a counter, and everything else encrypted.

    1 byte   type, always 1
    8 bytes  receiver index, by which the receiver finds the association
    8 bytes  counter, big-endian
    rest     ChaCha20-Poly1305 ciphertext and tag; the 17 bytes before are its associated data

Source: the shape is that of WireGuard's transport messages (Donenfeld, "WireGuard", section 5.4.6);
the replay window follows RFC 6479.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sessionlayer.protocol.limits import DATAGRAM_MAX, REPLAY_WINDOW
from sessionlayer.protocol.noise import TAG_BYTES, nonce_bytes

DATAGRAM_TYPE = 1
_HEADER = struct.Struct(">B8sQ")
HEADER_BYTES = _HEADER.size


def receiver_index(datagram: bytes) -> bytes | None:
    """Return the 8-byte receiver index of a datagram, or ``None`` if it is none of ours."""
    if not HEADER_BYTES + TAG_BYTES <= len(datagram) <= DATAGRAM_MAX or datagram[0] != DATAGRAM_TYPE:
        return None
    return datagram[1:9]


class ReplayWindow:
    """Remember which of the last ``REPLAY_WINDOW`` counters were seen, as one integer of bits."""

    def __init__(self) -> None:
        self._newest = -1
        self._seen = 0

    def fresh(self, counter: int) -> bool:
        """Return whether ``counter`` was neither seen nor overtaken by a whole window."""
        age = self._newest - counter
        return age < 0 or (age < REPLAY_WINDOW and not self._seen >> age & 1)

    def accept(self, counter: int) -> bool:
        """Note a counter that is ``fresh`` and authentic; return whether it is newer than all before."""
        ahead = counter - self._newest
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return False
        kept = self._seen << ahead if ahead < REPLAY_WINDOW else 0
        self._seen = (kept | 1) & ((1 << REPLAY_WINDOW) - 1)
        self._newest = counter
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An authentic datagram's contents; ``newest`` if it is newer than all before it."""

    plaintext: bytes
    newest: bool


class SealedChannel:
    """Both directions of the sealed datagrams of an association. Keys have 32 bytes, indices 8."""

    def __init__(self, *, send_key: bytes, receive_key: bytes, local_index: bytes, peer_index: bytes) -> None:
        self._sealer = ChaCha20Poly1305(send_key)
        self._opener = ChaCha20Poly1305(receive_key)
        self._local_index = local_index
        self._peer_index = peer_index
        self._counter = 0
        self._window = ReplayWindow()

    def seal(self, plaintext: bytes) -> bytes:
        """Return the datagram that carries ``plaintext``; no counter is ever used twice."""
        header = _HEADER.pack(DATAGRAM_TYPE, self._peer_index, self._counter)
        sealed = self._sealer.encrypt(nonce_bytes(self._counter), plaintext, header)
        self._counter += 1
        return header + sealed

    def open(self, datagram: bytes) -> Opened | None:
        """Return what an authentic datagram carries, each one once; ``None`` for anything else."""
        if receiver_index(datagram) != self._local_index:
            return None
        header, sealed = datagram[:HEADER_BYTES], datagram[HEADER_BYTES:]
        counter = int.from_bytes(header[9:], "big")
        if not self._window.fresh(counter):
            return None
        try:
            plaintext = self._opener.decrypt(nonce_bytes(counter), sealed, header)
        except InvalidTag:
            return None
        # Only after authentication: a forged counter must not push the window forward.
        return Opened(plaintext=plaintext, newest=self._window.accept(counter))
