"""The decisions that a caller of kernel rebinding must make, one exception each."""

from __future__ import annotations


class RebindError(Exception):
    """A connection could not be moved; it is where it was, and its programs go on."""


class UnsupportedSocketError(RebindError):
    """The kernel keeps state for this socket that can't be carried over: leave it alone for good."""


class SocketGoneError(RebindError):
    """The connection ended, or no program holds its socket any more."""


class ConnectionLostError(RebindError):
    """A failed move could not be undone either: the connection is lost, and the message says why."""
