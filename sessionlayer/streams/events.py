"""What a session tells its program, and what the state machine tells its shell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suspended:
    """The peer can't be reached; connections wait."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The peer is back, ``after_s`` seconds after it was heard last."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over; ``code`` is ``closed``, ``aborted``, ``expired``, ``unknown`` or ``frozen``."""

    code: str
    reason: str


StreamEvent = Suspended | Resumed | Closed


@dataclass(frozen=True, slots=True)
class Admitted:
    """The server has opened connection ``number``."""

    number: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer has received more of connection ``number``."""

    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer's stream of connection ``number`` has ended, and all of it was handed out."""

    number: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Connection ``number`` is over; ``error`` unless both directions came to their end."""

    number: int
    error: ConnectionError | None


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing was heard from the peer for too long: all transports are to be closed."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The peer's program has exported ``values``; soon after each `Resumed`."""

    values: dict[str, bytes]


Effect = StreamEvent | Admitted | Acknowledged | Ended | Lost | Silent | Imported
