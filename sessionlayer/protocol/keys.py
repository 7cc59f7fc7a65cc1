"""The static key of a host: made once, kept by the shell, known to peers by its fingerprint."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sessionlayer.protocol.errors import LocalProtocolError

KEY_BYTES = 32
Entropy = Callable[[int], bytes]
"""Return that many unpredictable bytes; the shell passes ``os.urandom``."""

_TEXT_PREFIX = "migrate-host-key-1"


def fingerprint(public_bytes: bytes) -> str:
    """Return the name of a public key as people compare it, in the form that OpenSSH made familiar.

    Args:
        public_bytes: the 32 bytes of an X25519 public key.
    """
    digest = hashlib.sha256(public_bytes).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """An X25519 key pair; both halves are 32 bytes. The private half never appears in ``repr``."""

    private_bytes: bytes
    public_bytes: bytes

    @classmethod
    def generate(cls, entropy: Entropy) -> HostKey:
        """Make a new key from 32 bytes of ``entropy``."""
        return cls.from_private(entropy(KEY_BYTES))

    @classmethod
    def from_private(cls, private_bytes: bytes) -> HostKey:
        """Return the key pair of 32 private bytes.

        Raises:
            LocalProtocolError: ``private_bytes`` has another length.
        """
        if len(private_bytes) != KEY_BYTES:
            raise LocalProtocolError(f"a host key has {KEY_BYTES} bytes, this one has {len(private_bytes)}")
        public = X25519PrivateKey.from_private_bytes(private_bytes).public_key()
        return cls(private_bytes=private_bytes, public_bytes=public.public_bytes_raw())

    @classmethod
    def from_text(cls, text: str) -> HostKey:
        """Read a key from the text that ``to_text`` wrote.

        Raises:
            LocalProtocolError: the text is not a host key.
        """
        words = text.split()
        if len(words) != 2 or words[0] != _TEXT_PREFIX:
            raise LocalProtocolError(f"not a host key: expected a line `{_TEXT_PREFIX} BASE64`")
        try:
            return cls.from_private(base64.b64decode(words[1], validate=True))
        except binascii.Error as error:
            raise LocalProtocolError(f"not a host key: the second word is not base64 ({error})") from error

    def to_text(self) -> str:
        """Return the private key as one line of text; it is to be kept with mode 0600."""
        return f"{_TEXT_PREFIX} {base64.b64encode(self.private_bytes).decode('ascii')}\n"

    def __repr__(self) -> str:
        return f"HostKey({fingerprint(self.public_bytes)})"
