"""What is said over the control socket of continuations, which suspended programs have left with the daemon.

Like all of `messages`, which reads and writes them; times are seconds since the epoch.
"""

from __future__ import annotations

from msgspec import Struct


class Continuations(Struct, frozen=True, kw_only=True, tag="continuations"):
    """Ask for the stored continuations that the asker may see."""


class ShowContinuation(Struct, frozen=True, kw_only=True, tag="show-continuation"):
    """Ask what is in the continuation of a session, named by its id or the beginning of it.

    Values of attributes and of environment variables are told only with ``values``.
    """

    session: str
    values: bool = False


class ExpireContinuation(Struct, frozen=True, kw_only=True, tag="expire-continuation"):
    """Ask to give up a session that has a continuation, as if it had expired."""

    session: str


class ContinuationSummary(Struct, frozen=True, kw_only=True):
    """A stored continuation: ``kind`` is one of system, internal, complete, altered.

    ``expires_at`` is ``None`` where the session is kept for ever; ``size`` is in bytes, as it is stored.
    One that is altered is not what this daemon stored, and nothing else is known of it.
    """

    session: str
    program: str
    user: str
    kind: str
    stored_at: float
    expires_at: float | None
    size: int


class ContinuationList(Struct, frozen=True, kw_only=True, tag="continuation-list"):
    """The continuations that the asker may see."""

    continuations: tuple[ContinuationSummary, ...]


class AttributeReport(Struct, frozen=True, kw_only=True):
    """An attribute: its size in bytes, whether the peer is told, and its value (in base64) if asked for."""

    name: str
    size: int
    exported: bool
    value: bytes | None = None


class ContinuationReport(Struct, frozen=True, kw_only=True, tag="continuation"):
    """What is in a continuation.

    ``function`` is where an internal one goes on; ``command_line`` and ``directory`` are what a complete one
    starts, and ``variables`` its environment: names alone, or ``NAME=value`` if values were asked for.
    ``differs`` says what is not as the continuation needs it on this host now.
    """

    summary: ContinuationSummary
    function: str
    command_line: tuple[str, ...]
    directory: str
    variables: tuple[str, ...]
    descriptors: tuple[str, ...]
    attributes: tuple[AttributeReport, ...]
    compatibility: tuple[str, ...]
    differs: tuple[str, ...]
    on_expiry: bool
