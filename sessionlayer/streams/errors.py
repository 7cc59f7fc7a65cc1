"""What can go wrong with a stream, one class for each decision that a program has to make."""

from __future__ import annotations


class StreamError(ConnectionError):
    """Say that a stream failed; also raised itself where the peer gave a connection up."""


class StreamRefusedError(StreamError):
    """Say that the server refuses a connection or a session, and why.

    Attributes:
        reason: the server's words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the server refuses: {reason}")
        self.reason = reason


class StreamExpiredError(StreamError):
    """Say that a session was suspended for too long, or that the peer doesn't know it any more."""


class UntrustedPeerError(StreamError):
    """Say that the peer's key is not trusted, and why."""
