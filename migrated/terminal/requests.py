"""What is asked of a host's holder, over ssh or its Unix socket: one JSON object per line and direction.

Times are seconds since the epoch.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from sessionlayer.decoding import decoded

PROTOCOL: Final = 1
"""Version of these messages and of those in `messages`; it must be the same at both ends."""

LINE_MAX: Final = 1 << 20
"""Longest line; the environment of the shell and the command are most of it."""

EXPIRE_S: Final = 30 * 86_400.0
"""Seconds that a terminal lives after its last client, unless somebody says otherwise."""

EXPIRE_MAX_S: Final = 3650 * 86_400.0
_KEY_BYTES: Final = 32

Key = Annotated[bytes, Meta(min_length=_KEY_BYTES, max_length=_KEY_BYTES)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class RequestError(Exception):
    """Say what is wrong with a line that should have been a request or an answer."""


class Open(Struct, frozen=True, kw_only=True, tag="open"):
    """Let the holder of a key in, for one terminal.

    Attributes:
        client_key: the client's public key, 32 bytes, made for this one time.
        name: the terminal's name; empty for a new one with a name that the holder chooses.
        attach: whether it is there already; else it is started when the client comes.
        command: what the shell is to run; empty for a login shell.
        environment: variables of the shell.
        expire_s: how long the terminal lives after its last client, in seconds.
        protocol: `PROTOCOL` of who asks.
    """

    client_key: Key
    name: str = ""
    attach: bool = False
    command: str = ""
    environment: dict[str, str] = {}
    expire_s: Annotated[float, Meta(gt=0, le=EXPIRE_MAX_S)] = EXPIRE_S
    protocol: int = PROTOCOL


class List(Struct, frozen=True, kw_only=True, tag="list"):
    """Ask for the terminals."""

    protocol: int = PROTOCOL


class Kill(Struct, frozen=True, kw_only=True, tag="kill"):
    """End a terminal and what runs in it."""

    name: str
    protocol: int = PROTOCOL


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """The client may come.

    Attributes:
        name: the terminal's name.
        port: TCP port of the holder.
        key: the holder's public key, 32 bytes.
        addresses: where the host can perhaps be reached, best first.
        waiting: names of terminals that no client is attached to.
    """

    name: str
    port: Port
    key: Key
    addresses: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


class TerminalReport(Struct, frozen=True, kw_only=True):
    """A terminal: ``state`` is one of attached, suspended, detached, ended, ``since`` a time."""

    name: str
    program: str
    pid: int
    state: str
    since: float
    status: int | None = None


class TerminalList(Struct, frozen=True, kw_only=True, tag="terminal-list"):
    """All terminals of the user."""

    terminals: tuple[TerminalReport, ...]


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """What was asked for was done."""


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """What was asked for was not done, and why."""

    reason: str


Request = Open | List | Kill
Answer = Ready | TerminalList | Done | Refused

_encoder: Final = msgspec.json.Encoder()
_requests: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_answers: Final[msgspec.json.Decoder[Answer]] = msgspec.json.Decoder(Answer)


class _Versioned(Struct):
    protocol: int = 0


_versions: Final = msgspec.json.Decoder(_Versioned)


def encode(message: Request | Answer) -> bytes:
    """Return a request or an answer as a line, with its end."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Read a request.

    Raises:
        RequestError: it is not one, or of another version; the text says what to do.
    """
    try:
        spoken = decoded(_versions, line).protocol
        if spoken != PROTOCOL:
            raise RequestError(
                f"the client speaks version {spoken} of this protocol and the host version {PROTOCOL}; "
                "install the same release of migrate-sessions on both"
            )
        return decoded(_requests, line)
    except msgspec.DecodeError as error:
        raise RequestError(
            f"the request can't be read ({error}); are both hosts on the same release?"
        ) from error


def decode_answer(line: bytes) -> Answer:
    """Read an answer.

    Raises:
        RequestError: it is not one.
    """
    try:
        return decoded(_answers, line)
    except msgspec.DecodeError as error:
        raise RequestError(
            f"the answer can't be read ({error}); are both hosts on the same release?"
        ) from error
