"""The messages of the control protocol and their encoding.

Messages are msgpack arrays, told apart by a number in front. Fields are only ever added at the end: a decoder
ignores those that it does not know, and gives those that an older peer did not send their default.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.limits import (
    ADDRESSES_MAX,
    DATAGRAM_MAX,
    EPOCH_MAX,
    EXPORT_PART_BYTES,
    EXPORT_PARTS_MAX,
    MESSAGE_MAX,
    REASON_MAX,
)

PackedAddress = Annotated[bytes, Meta(min_length=4, max_length=16)]
SessionId = Annotated[bytes, Meta(min_length=16, max_length=16)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Sequence32 = Annotated[int, Meta(ge=0, lt=2**32)]
Epoch = Annotated[int, Meta(ge=1, le=EPOCH_MAX)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Index = Annotated[bytes, Meta(min_length=8, max_length=8)]
Reason = Annotated[str, Meta(max_length=REASON_MAX)]
SetName = Annotated[bytes, Meta(max_length=8)]
Addresses = Annotated[tuple[PackedAddress, ...], Meta(max_length=ADDRESSES_MAX)]

_ENVELOPE_BYTES = 24
"""Upper bound of everything in a batched message but its entries: two array headers, the tag, a number."""


class Outcome(IntEnum):
    """How a handoff request was answered, connection by connection."""

    DONE = 0
    FAILED = 1
    STALE = 2
    UNKNOWN = 3


class _Message(Struct, frozen=True, array_like=True, kw_only=True):
    pass


class Hello(_Message, frozen=True, tag=0):
    """What the two sides tell each other inside the handshake.

    Attributes:
        index: the 8 bytes by which the sender wants to be addressed in every datagram.
        port: the sender's UDP port.
        addresses: packed addresses at which the sender's daemon may be found, best first.
    """

    index: Index
    port: Port
    addresses: Addresses = ()


class Verdict(_Message, frozen=True, tag=1):
    """The responder's last word in the handshake: its hello, or why it refuses."""

    hello: Hello | None = None
    refusal: Reason = ""


class Ping(_Message, frozen=True, tag=2):
    """A request for a sign of life; a ``probe`` asks over another path and steers nothing."""

    number: Number
    probe: bool = False
    addresses: Addresses = ()


class Pong(_Message, frozen=True, tag=3):
    """The answer to a ping, sent back where it came from."""

    number: Number
    addresses: Addresses = ()


class AdoptEntry(_Message, frozen=True):
    """A connection as the sender sees it, and the session that it would become."""

    session: SessionId
    local_address: PackedAddress
    local_port: Port
    remote_address: PackedAddress
    remote_port: Port
    client: bool


class AdoptRequest(_Message, frozen=True, tag=4):
    """Ask the peer to make connections into sessions."""

    number: Number
    entries: tuple[AdoptEntry, ...]


class AdoptVerdict(_Message, frozen=True):
    """``session`` is the proposed id, ``adopted`` the one in force, or ``None`` with a reason."""

    session: SessionId
    adopted: SessionId | None = None
    reason: Reason = ""


class AdoptAnswer(_Message, frozen=True, tag=5):
    """Answer an adoption request."""

    number: Number
    entries: tuple[AdoptVerdict, ...]


class MoveEntry(_Message, frozen=True):
    """One connection of a handoff request; the fields are those of ``values.Departure``.

    ``peer_address`` and ``peer_port`` say for which place of the receiver a mover is ``in_place``;
    ``exported`` names the set of attributes that will follow.
    """

    session: SessionId
    epoch: Epoch
    address: PackedAddress
    port: Port
    received: Sequence32
    sent: Sequence32
    in_place: bool = False
    peer_address: PackedAddress | None = None
    peer_port: Port | None = None
    exported: SetName = b""


class HandoffRequest(_Message, frozen=True, tag=6):
    """Say that connections move, and to where."""

    handoff: Number
    entries: tuple[MoveEntry, ...]


class AnswerEntry(_Message, frozen=True):
    """One connection of a handoff answer.

    Attributes:
        session: 16 bytes.
        epoch: the epoch of the request.
        outcome: a value of ``Outcome``.
        address: the answering end's address now, and ``port`` its port; absent if the session is unknown,
            or if that end is suspended and stays so: then the asking end is not to thaw.
        received: the next sequence number that it expects (only for ``DONE``).
        peer_address: where it believes the mover to be, and ``peer_port`` (only for ``FAILED``).
        latest: the highest epoch that it has seen (only for ``STALE``).
        reason: in words (only for ``FAILED``).
        exported: the name of the set of attributes that will follow (only for ``DONE``).
    """

    session: SessionId
    epoch: Epoch
    outcome: Annotated[int, Meta(ge=0, le=3)]
    address: PackedAddress | None = None
    port: Port | None = None
    received: Sequence32 = 0
    peer_address: PackedAddress | None = None
    peer_port: Port | None = None
    latest: Annotated[int, Meta(ge=0, le=EPOCH_MAX)] = 0
    reason: Reason = ""
    exported: SetName = b""


class HandoffAnswer(_Message, frozen=True, tag=7):
    """Answer a handoff request."""

    handoff: Number
    entries: tuple[AnswerEntry, ...]


class SessionEpoch(_Message, frozen=True):
    """A session and the epoch of the move that is meant."""

    session: SessionId
    epoch: Epoch


class HandoffDone(_Message, frozen=True, tag=8):
    """Say that the mover is in place."""

    entries: tuple[SessionEpoch, ...]


class HandoffDoneAck(_Message, frozen=True, tag=9):
    """Acknowledge ``HandoffDone``."""

    entries: tuple[SessionEpoch, ...]


class Release(_Message, frozen=True, tag=10):
    """Say that the connections of these sessions have ended."""

    sessions: tuple[SessionId, ...]


class ReleaseAck(_Message, frozen=True, tag=11):
    """Acknowledge ``Release``."""

    sessions: tuple[SessionId, ...]


class ExportedPart(_Message, frozen=True):
    """A part of all that a session's program has exported.

    Attributes:
        session: 16 bytes.
        name: of the set, 8 bytes made of its content.
        number: of the part, from 0, and ``count`` how many there are.
        data: at most 1 KiB.
    """

    session: SessionId
    name: Annotated[bytes, Meta(min_length=8, max_length=8)]
    number: Annotated[int, Meta(ge=0, lt=EXPORT_PARTS_MAX)]
    count: Annotated[int, Meta(ge=1, le=EXPORT_PARTS_MAX)]
    data: Annotated[bytes, Meta(max_length=EXPORT_PART_BYTES)]


class Exported(_Message, frozen=True, tag=12):
    """Tell what programs have exported."""

    entries: tuple[ExportedPart, ...]


class ExportedHave(_Message, frozen=True):
    """A session and the set that is meant, and which ``parts`` of it are there: bit n is part n."""

    session: SessionId
    name: Annotated[bytes, Meta(min_length=8, max_length=8)]
    parts: Annotated[int, Meta(ge=0, lt=2**EXPORT_PARTS_MAX)]


class ExportedAck(_Message, frozen=True, tag=13):
    """Acknowledge ``Exported``."""

    entries: tuple[ExportedHave, ...]


Message = (
    Ping
    | Pong
    | AdoptRequest
    | AdoptAnswer
    | HandoffRequest
    | HandoffAnswer
    | HandoffDone
    | HandoffDoneAck
    | Release
    | ReleaseAck
    | Exported
    | ExportedAck
)
Greeting = Hello | Verdict
EntryT = TypeVar("EntryT")

_encoder = msgspec.msgpack.Encoder()
_message_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_greeting_decoder: msgspec.msgpack.Decoder[Greeting] = msgspec.msgpack.Decoder(Greeting)


def encode(message: Message | Greeting) -> bytes:
    """Return the bytes of a message."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Return the message in an opened datagram.

    Raises:
        RemoteProtocolError: the bytes are no message, or a field is out of bounds.
    """
    if len(data) > DATAGRAM_MAX:
        raise RemoteProtocolError(f"a message of {len(data)} bytes, at most {DATAGRAM_MAX} are allowed")
    try:
        message = _message_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"a malformed message: {error}") from error
    for address in _addresses_in(message):
        unpack_address(address)
    if isinstance(message, Exported) and any(part.number >= part.count for part in message.entries):
        raise RemoteProtocolError("a malformed message: a part beyond the last one")
    return message


def decode_greeting(data: bytes) -> Greeting:
    """Return the payload of a handshake message.

    Raises:
        RemoteProtocolError: the bytes are no greeting, or a field is out of bounds.
    """
    try:
        greeting = _greeting_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"a malformed greeting: {error}") from error
    hello = greeting.hello if isinstance(greeting, Verdict) else greeting
    for address in hello.addresses if hello else ():
        unpack_address(address)
    return greeting


def pack_address(address: str) -> bytes:
    """Return the 4 or 16 bytes of an address in text form."""
    return ipaddress.ip_address(address).packed


def unpack_address(packed: bytes) -> str:
    """Return an address in canonical text form.

    Raises:
        RemoteProtocolError: ``packed`` is no address of a single host.
    """
    try:
        address = ipaddress.ip_address(packed)
    except ValueError as error:
        raise RemoteProtocolError(f"an address of {len(packed)} bytes") from error
    if address.is_multicast or address.is_unspecified:
        raise RemoteProtocolError(f"`{address}` is not the address of a host")
    return str(address)


def batches(entries: Sequence[EntryT]) -> Iterator[tuple[EntryT, ...]]:
    """Yield the entries in groups that each fit one datagram, as many to a group as do."""
    group: list[EntryT] = []
    used = _ENVELOPE_BYTES
    for entry in entries:
        size = len(_encoder.encode(entry))
        if group and used + size > MESSAGE_MAX:
            yield tuple(group)
            group, used = [], _ENVELOPE_BYTES
        group.append(entry)
        used += size
    if group:
        yield tuple(group)


def shortened(reason: str) -> str:
    """Return a reason cut to the length that may travel."""
    return reason if len(reason) <= REASON_MAX else reason[: REASON_MAX - 1] + "…"


def printable(reason: str) -> str:
    """Return a peer's words without characters that could disturb a terminal or a log."""
    return "".join(character if character.isprintable() else "?" for character in reason)


def _addresses_in(message: Message) -> Iterator[bytes]:
    match message:
        case Ping() | Pong():
            yield from message.addresses
        case AdoptRequest():
            for offer in message.entries:
                yield from (offer.local_address, offer.remote_address)
        case HandoffRequest():
            for move in message.entries:
                yield from (a for a in (move.address, move.peer_address) if a is not None)
        case HandoffAnswer():
            for answer in message.entries:
                yield from (a for a in (answer.address, answer.peer_address) if a is not None)
        case _:
            return
