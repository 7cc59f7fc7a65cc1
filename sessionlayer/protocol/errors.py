"""The two ways in which the protocol can be misused: by the peer, and by our own shell."""

from __future__ import annotations


class ProtocolError(Exception):
    """Say that the protocol was broken; only the two subclasses are ever raised."""


class RemoteProtocolError(ProtocolError):
    """Say that the peer sent something that it must not; the only error that its input can raise."""


class LocalProtocolError(ProtocolError):
    """Say that our own side called the protocol out of turn or with a wrong value."""
