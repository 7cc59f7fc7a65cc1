"""What programs and the local daemon say to each other.

The daemon listens on a Unix socket of type SOCK_SEQPACKET, so that a message and its descriptors arrive
together or not at all. A message is one msgpack map with a ``type``; unknown fields are ignored. The program
numbers its requests, and each has exactly one answer with that number, in any order. Notices come unasked.

Continuations travel in a memory file (memfd_create(2)), which is always the first descriptor of its message;
the continuation's own descriptors follow in the order of `Continuation.descriptors`.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from sessionlayer.continuations.values import Tag
from sessionlayer.decoding import decoded

MESSAGE_MAX: Final = 65_536
"""Bytes of a message; a longer one ends the connection with a clear error."""

DESCRIPTORS_MAX: Final = 250
"""Descriptors of a message; the kernel's own limit (SCM_MAX_FD) is 253."""

HEALTH_REASON_MAX: Final = 200
"""Characters of why a session is not well; of a longer reason the beginning is told."""

SOCKET_NAME: Final = "application.sock"
"""The socket's name in the daemon's runtime folder."""


class GetSession(Struct, frozen=True, kw_only=True, tag="get-session"):
    """Ask for the session of a connection. Descriptor: the connection.

    Answered when the connection has become a session, or with a refusal after ``wait_s`` seconds. A process
    that was started from a continuation is answered with that continuation and its descriptors.
    """

    number: int
    wait_s: Annotated[float, Meta(ge=0)] = 0.0


class CreateSession(Struct, frozen=True, kw_only=True, tag="create-session"):
    """Bring a session that the daemon has not adopted: a virtual stream's, which is about to be given up.

    `ReturnContinuation` is taken of it then, from the same program. It needs a process that is started anew,
    and as descriptors one or more listening sockets; no connection is among them. Whoever connects to one of
    these has the process started.

    Attributes:
        number: of the request.
        session: its 16-byte id.
        peer: the remote address and port, as people write them.
    """

    number: int
    session: bytes
    peer: str = ""


class RegisterHandler(Struct, frozen=True, kw_only=True, tag="register-handler"):
    """Ask to be told of a session's suspension, as `Suspend` (Table I, register_handler).

    A ``lazy`` handler has to return a continuation only when the daemon needs it (`Suspend.required`). The
    policy's ``resume lazy`` makes every handler one.
    """

    number: int
    session: bytes
    lazy: bool = False


class RegisterAttachHandler(Struct, frozen=True, kw_only=True, tag="register-attach-handler"):
    """Offer to take up internal continuations of this program, from whichever process they are (Table I)."""

    number: int
    program: str


class RegisterCompatibility(Struct, frozen=True, kw_only=True, tag="register-compatibility"):
    """Say what this host offers to this program; it stays until it is said anew (register_compat_vector)."""

    number: int
    program: str
    tags: tuple[Tag, ...]


class DependOn(Struct, frozen=True, kw_only=True, tag="depend-on"):
    """Let ``session`` suspend and resume with ``parent`` (section IV-D). A cycle is refused."""

    number: int
    session: bytes
    parent: bytes


class Export(Struct, frozen=True, kw_only=True, tag="export"):
    """Tell the peer these attributes at the next resumption (Table I, export)."""

    number: int
    session: bytes
    values: dict[str, bytes]


class ReturnContinuation(Struct, frozen=True, kw_only=True, tag="return-continuation"):
    """Hand a continuation over (Table I, return_cont). Descriptors: its memory file, then its own.

    Once it is granted, the session is the daemon's: the program has to close its own copies, and may end.
    ``program`` is under which name attach handlers may take it up.
    """

    number: int
    session: bytes
    program: str = ""


class KeepRunning(Struct, frozen=True, kw_only=True, tag="keep-running"):
    """Answer `Suspend` without a continuation: the program waits and keeps its connection."""

    session: bytes


class HandlerFailed(Struct, frozen=True, kw_only=True, tag="handler-failed"):
    """Answer `Suspend` with the failure of the handler."""

    session: bytes
    reason: str


class KeepAlive(Struct, frozen=True, kw_only=True, tag="keep-alive"):
    """Say whether all is well with a session, as far as its program can tell; ``reason`` is for people.

    It has no answer, and is said as often as the program likes (section V-E, application keep-alives).
    """

    session: bytes
    healthy: bool
    reason: str = ""


class Freeze(Struct, frozen=True, kw_only=True, tag="freeze"):
    """Demand the continuation of a suspended session that has none yet (Table I, freeze)."""

    number: int
    session: bytes


class CloseSession(Struct, frozen=True, kw_only=True, tag="close-session"):
    """End a session: the connection is left to the program, attributes and continuation are forgotten."""

    number: int
    session: bytes


Request = (
    GetSession
    | CreateSession
    | RegisterHandler
    | RegisterAttachHandler
    | RegisterCompatibility
    | DependOn
    | Export
    | ReturnContinuation
    | KeepRunning
    | HandlerFailed
    | KeepAlive
    | Freeze
    | CloseSession
)


class Granted(Struct, frozen=True, kw_only=True, tag="granted"):
    """What was asked for was done. The other fields and the descriptors answer `GetSession`.

    Attributes:
        number: of the request.
        session: its 16-byte id.
        peer: the remote address and port, for people.
        suspended: whether it waits for a link.
        imported: what the peer has exported, where that is known.
        continued: whether a continuation follows: its memory file and descriptors.
    """

    number: int
    session: bytes = b""
    peer: str = ""
    suspended: bool = False
    imported: dict[str, bytes] | None = None
    continued: bool = False


class Denied(Struct, frozen=True, kw_only=True, tag="denied"):
    """What was asked for was not done: ``reason`` is for people, ``code`` for programs."""

    number: int
    code: str
    reason: str


class Suspend(Struct, frozen=True, kw_only=True, tag="suspend"):
    """A session is suspended. The handler returns a continuation, keeps running, or fails.

    An answer is expected within ``deadline_s`` seconds. ``required`` is set where the daemon needs the
    continuation now.
    """

    session: bytes
    because: tuple[str, ...]
    deadline_s: float
    required: bool


class Resume(Struct, frozen=True, kw_only=True, tag="resume"):
    """A session goes on whose program has kept running; ``imported`` is as in `Granted`."""

    session: bytes
    imported: dict[str, bytes] | None = None


class Invoke(Struct, frozen=True, kw_only=True, tag="invoke"):
    """Go on from an internal continuation. Descriptors: its memory file, then its own.

    ``program`` says which attach handler is meant: a process may have several. ``imported`` is as in
    `Granted`. ``expired`` is set where there is no connection any more and the program is to clean up.
    """

    session: bytes
    peer: str
    program: str = ""
    imported: dict[str, bytes] | None = None
    expired: bool = False


class Waiting(Struct, frozen=True, kw_only=True, tag="waiting"):
    """A session that was given up can't go on although a link is there; it stays suspended.

    ``because`` says why: what it requires of this host differs, for example, or its continuation is of a
    version that only a newer daemon reads. It goes on as soon as nothing is in its way any more.
    """

    session: bytes
    because: tuple[str, ...]


class Imported(Struct, frozen=True, kw_only=True, tag="imported"):
    """What the peer has exported has arrived late, or has changed: all of it, in place of what was before."""

    session: bytes
    values: dict[str, bytes]


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """A session is one no more; ``code`` is one of ``expired closed killed incompatible lost``."""

    session: bytes
    code: str
    reason: str


Notice = Suspend | Resume | Invoke | Waiting | Imported | Ended
Answer = Granted | Denied | Notice

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
_answers: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """Return a message as it is sent."""
    return _encoder.encode(message)


def decode_request(data: bytes) -> Request:
    """Read what a program says.

    Raises:
        msgspec.DecodeError: it is not a request.
    """
    return decoded(_requests, data)


def decode_answer(data: bytes) -> Answer:
    """Read what the daemon says.

    Raises:
        msgspec.DecodeError: it is neither an answer nor a notice.
    """
    return decoded(_answers, data)
