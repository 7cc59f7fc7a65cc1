"""The first bytes of a transport: one authenticated message each way.

    opening                                            answer
    4   magic and version                              16  the server's nonce
    16  session                                        2   length of the rest, big-endian
    4   connection, 0 for the control transport        n   ChaCha20-Poly1305 of ``AnswerBody``
    8   generation
    16  the client's nonce
    2   length of the rest, big-endian
    n   ChaCha20-Poly1305 of ``OpeningBody``

All that is in the clear is associated data. Each key seals one message: it depends on both nonces, so that
not even an end that was restored from an older state uses one twice.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec import Meta, Struct

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.noise import TAG_BYTES, nonce_bytes
from sessionlayer.streams import secrets
from sessionlayer.streams.limits import BODY_MAX, OFFSET_MAX, PURPOSE_MAX, REASON_MAX, STREAMS_VERSION

MAGIC = b"\xd5MS" + bytes((STREAMS_VERSION,))
"""A handshake starts with a length below 2048, so that its first byte is another one."""

OPENING_HEAD = struct.Struct(">4s16sIQ16sH")
ANSWER_HEAD = struct.Struct(">16sH")
CONTROL = 0
"""The connection number of the control transport."""

Offset = Annotated[int, Meta(ge=0, le=OFFSET_MAX)]
Reason = Annotated[str, Meta(max_length=REASON_MAX)]
_ONLY = nonce_bytes(0)  # a key seals one message


class OpeningBody(Struct, frozen=True, array_like=True, kw_only=True):
    """What the client says: where both directions stand (bytes), and what the connection is for."""

    received: Offset = 0
    sending_from: Offset = 0
    end: Offset | None = None
    purpose: Annotated[bytes, Meta(max_length=PURPOSE_MAX)] = b""
    sealed: bool = False


class AnswerBody(Struct, frozen=True, array_like=True, kw_only=True):
    """What the server says: where both directions stand, or why there is no such connection."""

    received: Offset = 0
    sending_from: Offset = 0
    end: Offset | None = None
    refusal: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """An opening as it arrived; nothing of it is authentic before ``read_opening``."""

    session: bytes
    connection: int
    generation: int
    nonce: bytes
    head: bytes
    sealed: bytes


def opening_length(head: bytes) -> int:
    """Return how many bytes follow an opening's ``OPENING_HEAD.size`` first ones.

    Raises:
        RemoteProtocolError: it is no opening of this version, or too long.
    """
    magic, *_, length = OPENING_HEAD.unpack(head)
    if magic != MAGIC:
        raise RemoteProtocolError("neither a handshake nor an opening of this version")
    return _bounded(length)


def answer_length(head: bytes) -> int:
    """Return how many bytes follow an answer's ``ANSWER_HEAD.size`` first ones.

    Raises:
        RemoteProtocolError: it is too long.
    """
    _, length = ANSWER_HEAD.unpack(head)
    return _bounded(length)


def _bounded(length: int) -> int:
    if not TAG_BYTES <= length <= BODY_MAX:
        raise RemoteProtocolError(f"an opening or answer with {length} sealed bytes")
    return length


def parse_opening(head: bytes, sealed: bytes) -> Opening:
    """Return the opening of these two parts."""
    _, session, connection, generation, nonce, _ = OPENING_HEAD.unpack(head)
    return Opening(
        session=session,
        connection=connection,
        generation=generation,
        nonce=nonce,
        head=head,
        sealed=sealed,
    )


def write_opening(key: bytes, connection: int, generation: int, nonce: bytes, body: OpeningBody) -> bytes:
    """Return an opening in the session of ``key``; ``nonce`` has 16 random bytes."""
    plaintext = msgspec.msgpack.encode(body)
    length = len(plaintext) + TAG_BYTES
    name = secrets.session_id(key)
    head = OPENING_HEAD.pack(MAGIC, name, connection, generation, nonce, length)
    return head + _seal(secrets.opening_key(key, connection, generation, nonce), plaintext, head)


def read_opening(key: bytes, opening: Opening) -> OpeningBody:
    """Return what an authentic opening says.

    Raises:
        RemoteProtocolError: it is not authentic, or malformed.
    """
    opened = secrets.opening_key(key, opening.connection, opening.generation, opening.nonce)
    return _open(opened, opening.sealed, opening.head, OpeningBody)


def write_answer(opening_key: bytes, nonce: bytes, body: AnswerBody) -> bytes:
    """Return the answer to the opening that ``opening_key`` sealed; ``nonce`` has 16 random bytes."""
    plaintext = msgspec.msgpack.encode(body)
    head = ANSWER_HEAD.pack(nonce, len(plaintext) + TAG_BYTES)
    return head + _seal(secrets.answer_key(opening_key, nonce), plaintext, head)


def read_answer(opening_key: bytes, answer: bytes) -> AnswerBody:
    """Return what an authentic answer says.

    Raises:
        RemoteProtocolError: it is not authentic, or malformed.
    """
    head, sealed = answer[: ANSWER_HEAD.size], answer[ANSWER_HEAD.size :]
    return _open(secrets.answer_key(opening_key, head[: secrets.NONCE_BYTES]), sealed, head, AnswerBody)


BodyT = TypeVar("BodyT", OpeningBody, AnswerBody)


def _seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(_ONLY, plaintext, associated)


def _open(key: bytes, sealed: bytes, associated: bytes, body: type[BodyT]) -> BodyT:
    try:
        return msgspec.msgpack.decode(ChaCha20Poly1305(key).decrypt(_ONLY, sealed, associated), type=body)
    except InvalidTag as error:
        raise RemoteProtocolError("an opening or answer is not authentic") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"a malformed opening or answer: {error}") from error
