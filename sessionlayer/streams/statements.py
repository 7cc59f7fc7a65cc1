"""What the two ends say on the control transport: absolute statements, so that a repetition changes nothing.

What was lost with a dying control transport is repaired by stating the present state on the next one.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sessionlayer.continuations.limits import ATTRIBUTES_MAX, NAME_MAX
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams.limits import CONNECTION_MAX, REASON_MAX
from sessionlayer.streams.openings import Offset, Reason

Number = Annotated[int, Meta(ge=1, le=CONNECTION_MAX)]
Counter = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, Meta(max_length=NAME_MAX)]
Code = Annotated[str, Meta(max_length=32)]


class _Statement(Struct, frozen=True, array_like=True, kw_only=True):
    pass


class Begin(_Statement, frozen=True, tag=0):
    """The client's first words after a handshake: a new session, please."""


class Inquire(_Statement, frozen=True, tag=1):
    """The client's first words after a handshake: is there still a session of this name?"""

    session: Annotated[bytes, Meta(min_length=16, max_length=16)]


class Accepted(_Statement, frozen=True, tag=2):
    """The server's answer to both; otherwise it says ``Bye``."""


class Ping(_Statement, frozen=True, tag=3):
    """A request for a sign of life."""

    number: Counter


class Pong(_Statement, frozen=True, tag=4):
    """The answer to the ping of that number."""

    number: Counter


class Report(_Statement, frozen=True, tag=5):
    """Where a connection stands, as its one end sees it.

    Attributes:
        received: the offset up to which we have everything.
        ended: whether that includes the end of the peer's stream.
        end: the offset at which our own stream ends, once that is known.
    """

    connection: Number
    received: Offset
    ended: bool = False
    end: Offset | None = None


class Reset(_Statement, frozen=True, tag=6):
    """We gave the connection up, or refuse it; stated until the peer says ``Gone``."""

    connection: Number
    reason: Reason


class Gone(_Statement, frozen=True, tag=7):
    """We have finished with the connection, or do not know it."""

    connection: Number


class Bye(_Statement, frozen=True, tag=8):
    """The session is over, or there is none: ``closed``, ``aborted``, ``unknown`` or ``refused``."""

    code: Code
    reason: Reason = ""


class Exported(_Statement, frozen=True, tag=9):
    """What the program lets the peer's program know; stated first on each new control transport."""

    values: Annotated[dict[Name, bytes], Meta(max_length=ATTRIBUTES_MAX)]


Statement = Begin | Inquire | Accepted | Ping | Pong | Report | Reset | Gone | Bye | Exported

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Statement)


def encode(statement: Statement) -> bytes:
    """Return a statement as it is sealed."""
    return _encoder.encode(statement)


def decode(message: bytes) -> Statement:
    """Return the statement of a message.

    Raises:
        RemoteProtocolError: it is malformed, or a field is out of bounds.
    """
    try:
        statement: Statement = _decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"a malformed control message: {error}") from error
    return statement


def shortened(reason: str) -> str:
    """Return a reason cut to the length that may travel."""
    return reason if len(reason) <= REASON_MAX else reason[: REASON_MAX - 1] + "…"
