"""Noise_XX_25519_ChaChaPoly_SHA256 and nothing else of Noise.

Source: The Noise Protocol Framework, revision 34, sections 5 (processing rules),
7.5 (pattern XX), 11 (protocol names) and 12 (25519, ChaChaPoly, SHA256). Method names are those of section 5.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.protocol.keys import KEY_BYTES, Entropy, HostKey

PROTOCOL_NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
TAG_BYTES = 16


class Token(Enum):
    """What a handshake message carries or mixes in, as the patterns of Noise name it."""

    E = "e"
    S = "s"
    EE = "ee"
    ES = "es"
    SE = "se"


XX: tuple[tuple[Token, ...], ...] = (
    (Token.E,),
    (Token.E, Token.EE, Token.S, Token.ES),
    (Token.S, Token.SE),
)
"""The messages of pattern XX; the initiator writes the first and the third."""


def nonce_bytes(counter: int) -> bytes:
    """Return the 12-byte ChaCha20-Poly1305 nonce of a 64-bit counter (Noise section 12.3, little-endian)."""
    return bytes(4) + counter.to_bytes(8, "little")


def hkdf_pair(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Return two 32-byte outputs of HKDF as Noise defines it (section 4.3; RFC 5869 with empty info)."""
    secret = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")


def derive_key(key: bytes, label: bytes) -> bytes:
    """Return a 32-byte key for another purpose (RFC 5869, HKDF-Expand of one block)."""
    return hmac.digest(key, label + b"\x01", "sha256")


class CipherState:
    """A key and the counter of the next message under it (section 5.1)."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._cipher = ChaCha20Poly1305(key)
        self._counter = 0

    def encrypt(self, associated: bytes, plaintext: bytes) -> bytes:
        """Return the ciphertext and tag of ``plaintext``, bound to ``associated``."""
        sealed = self._cipher.encrypt(nonce_bytes(self._counter), plaintext, associated)
        self._counter += 1
        return sealed

    def decrypt(self, associated: bytes, ciphertext: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            RemoteProtocolError: the ciphertext is not authentic.
        """
        try:
            plaintext = self._cipher.decrypt(nonce_bytes(self._counter), ciphertext, associated)
        except InvalidTag as error:
            raise RemoteProtocolError("a handshake message is not authentic") from error
        self._counter += 1
        return plaintext


class SymmetricState:
    """The chaining key, the transcript hash and the cipher of a handshake (section 5.2)."""

    def __init__(self) -> None:
        self.hash = PROTOCOL_NAME.ljust(32, b"\0")
        self._chaining_key = self.hash
        self._cipher: CipherState | None = None

    def mix_key(self, material: bytes) -> None:
        """Take a shared secret into the chaining key; the cipher starts anew."""
        self._chaining_key, key = hkdf_pair(self._chaining_key, material)
        self._cipher = CipherState(key)

    def mix_hash(self, data: bytes) -> None:
        """Take ``data`` into the transcript."""
        self.hash = hashlib.sha256(self.hash + data).digest()

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Return ``plaintext`` as it travels: in the clear until there is a key."""
        sealed = self._cipher.encrypt(self.hash, plaintext) if self._cipher else plaintext
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        """Return what the peer wrote.

        Raises:
            RemoteProtocolError: it is not authentic.
        """
        plaintext = self._cipher.decrypt(self.hash, sealed) if self._cipher else sealed
        self.mix_hash(sealed)
        return plaintext

    @property
    def overhead(self) -> int:
        """Return by how many bytes a sealed field is longer than its plaintext."""
        return TAG_BYTES if self._cipher else 0

    def split(self) -> tuple[CipherState, CipherState]:
        """Return the ciphers of the initiator and of the responder."""
        first, second = hkdf_pair(self._chaining_key, b"")
        return CipherState(first), CipherState(second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """What a finished handshake leaves: a cipher for each direction and the hash of all that was said."""

    send: CipherState
    receive: CipherState
    handshake_hash: bytes


class NoiseXX:
    """One side of one handshake (section 5.3): three messages, written and read in turn."""

    def __init__(self, *, initiator: bool, host_key: HostKey, entropy: Entropy, prologue: bytes) -> None:
        self._initiator = initiator
        self._static = X25519PrivateKey.from_private_bytes(host_key.private_bytes)
        self._ephemeral = X25519PrivateKey.from_private_bytes(entropy(KEY_BYTES))
        self._symmetric = SymmetricState()
        self._symmetric.mix_hash(prologue)
        self._peer_ephemeral = b""
        self.peer_static = b""
        self._next = 0

    def write_message(self, payload: bytes) -> bytes:
        """Return our next handshake message with ``payload``, which is secret only once there is a key.

        Raises:
            LocalProtocolError: it is the peer's turn, or the handshake is over.
            RemoteProtocolError: the peer's key is of low order.
        """
        message = b"".join(self._write(token) for token in self._turn(ours=True))
        return message + self._symmetric.encrypt_and_hash(payload)

    def read_message(self, message: bytes) -> bytes:
        """Return the payload of the peer's next handshake message.

        Raises:
            LocalProtocolError: it is our turn, or the handshake is over.
            RemoteProtocolError: the message is too short, not authentic, or has a key of low order.
        """
        rest = message
        for token in self._turn(ours=False):
            rest = self._read(token, rest)
        return self._symmetric.decrypt_and_hash(rest)

    def finish(self) -> Transport:
        """Return the ciphers for what follows.

        Raises:
            LocalProtocolError: the handshake is not over yet.
        """
        if self._next != len(XX):
            raise LocalProtocolError("the handshake is not over yet")
        first, second = self._symmetric.split()
        send, receive = (first, second) if self._initiator else (second, first)
        return Transport(send=send, receive=receive, handshake_hash=self._symmetric.hash)

    def _turn(self, *, ours: bool) -> tuple[Token, ...]:
        initiators = self._next % 2 == 0
        if self._next == len(XX) or ours != (initiators == self._initiator):
            raise LocalProtocolError(f"handshake message {self._next + 1} is out of turn")
        self._next += 1
        return XX[self._next - 1]

    def _write(self, token: Token) -> bytes:
        if token is Token.E:
            public = self._ephemeral.public_key().public_bytes_raw()
            self._symmetric.mix_hash(public)
            return public
        if token is Token.S:
            return self._symmetric.encrypt_and_hash(self._static.public_key().public_bytes_raw())
        self._mix(token)
        return b""

    def _read(self, token: Token, data: bytes) -> bytes:
        if token is Token.E:
            self._peer_ephemeral, rest = _cut(data, KEY_BYTES)
            self._symmetric.mix_hash(self._peer_ephemeral)
            return rest
        if token is Token.S:
            sealed, rest = _cut(data, KEY_BYTES + self._symmetric.overhead)
            self.peer_static = self._symmetric.decrypt_and_hash(sealed)
            return rest
        self._mix(token)
        return data

    def _mix(self, token: Token) -> None:
        # "es" is the initiator's ephemeral with the responder's static key, "se" the other way round.
        own_static = token is (Token.SE if self._initiator else Token.ES)
        peer_static = token is (Token.ES if self._initiator else Token.SE)
        own = self._static if own_static else self._ephemeral
        peer = self.peer_static if peer_static else self._peer_ephemeral
        try:
            self._symmetric.mix_key(own.exchange(X25519PublicKey.from_public_bytes(peer)))
        except ValueError as error:
            raise RemoteProtocolError("the peer's key is of low order") from error


def _cut(data: bytes, length: int) -> tuple[bytes, bytes]:
    if len(data) < length:
        raise RemoteProtocolError("a handshake message is too short")
    return data[:length], data[length:]
