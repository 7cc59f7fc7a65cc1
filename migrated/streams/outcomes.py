"""How the programs that use a gateway end, as exit statuses that scripts can tell apart."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """The exit status of `migrate connect`; `migrate forward` and `migrate gateway` use the first three."""

    DONE = 0
    BROKEN = 1
    """The connection broke: one of its ends gave it up, or our own input or output failed."""

    USAGE = 2
    UNREACHABLE = 3
    """The gateway does not answer."""

    UNTRUSTED = 4
    """The gateway's key is not trusted, or the gateway does not trust ours."""

    REFUSED = 5
    """The gateway does not allow the destination, or the destination does not answer it."""

    LOST = 6
    """The session is over: it was suspended for too long, or the gateway was started anew."""


class StreamProgramError(Exception):
    """End a program with a message for people and an exit status."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome
