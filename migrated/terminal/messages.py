"""What client and holder say to each other over the sealed stream: small messages with a length before each.

A message is msgpack; its length, four bytes, comes first. Unknown fields are ignored, an unknown kind of
message is an error: a new kind needs a new `requests.PROTOCOL`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from sessionlayer.decoding import decoded

DATA_MAX: Final = 32 * 1024
"""Most bytes of input or output in one message."""

_MESSAGE_MAX: Final = 2 * DATA_MAX
_LENGTH_BYTES: Final = 4

Data = Annotated[bytes, Meta(max_length=DATA_MAX)]
Cells = Annotated[int, Meta(ge=1, le=9999)]
Reason = Annotated[str, Meta(max_length=1000)]


class TerminalProtocolError(Exception):
    """The other end sent something that is no message."""


class Attach(Struct, frozen=True, kw_only=True, tag="attach"):
    """Take the terminal that the key was let in for; the client's first message."""

    rows: Cells
    columns: Cells


class Input(Struct, frozen=True, kw_only=True, tag="input"):
    """Bytes that were typed."""

    data: Data


class Resize(Struct, frozen=True, kw_only=True, tag="resize"):
    """The client's window has this many character cells now."""

    rows: Cells
    columns: Cells


class Detach(Struct, frozen=True, kw_only=True, tag="detach"):
    """The client leaves; it has read everything that was sent before if it was told of an end."""


class Attached(Struct, frozen=True, kw_only=True, tag="attached"):
    """The client has the terminal: the answer to `Attach`."""

    name: str


class Output(Struct, frozen=True, kw_only=True, tag="output"):
    """Bytes for the client's screen."""

    data: Data


class Exited(Struct, frozen=True, kw_only=True, tag="exited"):
    """The program has ended with this exit status; 128 and its number for one that a signal ended."""

    status: Annotated[int, Meta(ge=0, le=255)]


class Detached(Struct, frozen=True, kw_only=True, tag="detached"):
    """The holder takes the terminal away from this client."""

    reason: Reason


FromClient = Attach | Input | Resize | Detach
FromHolder = Attached | Output | Exited | Detached
MessageT = TypeVar("MessageT")

_encoder: Final = msgspec.msgpack.Encoder()
CLIENT_DECODER: Final[msgspec.msgpack.Decoder[FromClient]] = msgspec.msgpack.Decoder(FromClient)
HOLDER_DECODER: Final[msgspec.msgpack.Decoder[FromHolder]] = msgspec.msgpack.Decoder(FromHolder)


def encode(message: FromClient | FromHolder) -> bytes:
    """Return a message with its length before it."""
    content = _encoder.encode(message)
    return len(content).to_bytes(_LENGTH_BYTES, "big") + content


async def receive(
    reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[MessageT]
) -> MessageT | None:
    """Return the next message, or ``None`` at the end of the stream.

    Args:
        reader: where the messages come from.
        decoder: `CLIENT_DECODER` for what a client says, `HOLDER_DECODER` for what a holder says.

    Raises:
        TerminalProtocolError: it is not a message, too long, or cut short.
        ConnectionError: the stream broke for good.
    """
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        if length > _MESSAGE_MAX:
            raise TerminalProtocolError(f"a message of {length} bytes; at most {_MESSAGE_MAX} are allowed")
        return decoded(decoder, await reader.readexactly(length))
    except asyncio.IncompleteReadError as error:
        if not error.partial and error.expected == _LENGTH_BYTES:
            return None
        raise TerminalProtocolError("a message was cut short") from error
    except msgspec.DecodeError as error:
        raise TerminalProtocolError(f"not a message: {error}") from error
