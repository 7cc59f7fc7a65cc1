"""What the protocol asks of its shell: frozen commands, to be carried out in order."""

from __future__ import annotations

from dataclasses import dataclass

from sessionlayer.protocol.values import Arrival, Connection, Path, Proposal, Rebinding


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDatagram:
    """Send ``data`` (bytes, sealed) over ``path``. A failure to send is no more than a lost datagram."""

    data: bytes
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAdoption:
    """Find out whether these connections are ours and may be adopted; answer with ``adoption_checked``."""

    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAdopted:
    """Both daemons know the connection as this session (16 bytes) now."""

    session_id: bytes
    connection: Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptionRefused:
    """The peer does not adopt the connection, or does not answer; it stays plain TCP."""

    connection: Connection
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RebindForPeer:
    """Rebind these connections to where the peer moved; answer with ``rebound``.

    A connection whose rebinding fails must be put back as it was: live if it was live, silent if it was held.
    """

    handoff: int
    entries: tuple[Rebinding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishMove:
    """Finish our own move of these connections; answer with ``moved``.

    A connection that cannot be finished must be left frozen: the peer is at the new tuple already, so only
    another move, to wherever, brings it back.
    """

    handoff: int
    entries: tuple[Arrival, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRefused:
    """Our move of a session did not happen.

    Attributes:
        session_id: 16 bytes.
        epoch: the epoch of the move; 0 if it was never sent because work on the socket is under way.
        reason: in words.
        thaw: both ends are still on the same tuple: undo the freeze, nothing else is needed. If false the
            connection stays as it is (frozen) and only another move brings it back.
        unknown: the peer has no such session (any more).
        waits: the peer's end is suspended for a reason of its own; no way to it is to blame, and it asks
            itself once the reason is gone.
    """

    session_id: bytes
    epoch: int
    reason: str
    thaw: bool = False
    unknown: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeHeld:
    """Freeze a connection that is rebound and silent for 0.8 s: soon its kernel would probe.

    Or it was restored in place for a move that is not answered, or refused; only ``FinishMove`` or another
    move thaws that. Freezing one that is frozen changes nothing.
    """

    session_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHeld:
    """Thaw a connection that ``FreezeHeld`` froze.

    ``mover_in_place``: the peer's end is there and may be probed. Otherwise the peer only asked again, and
    our kernel must be as silent as after a fresh rebinding: restore the socket anew with the window closed,
    because the old probe timer may fire at any moment.
    """

    session_id: bytes
    mover_in_place: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReleased:
    """The peer says that the session's connection has ended."""

    session_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributesImported:
    """What the peer's program has exported has arrived, or has changed; see ``Association.imported``."""

    session_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSilent:
    """Nothing authentic came from the peer's daemon for 3 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerHeard:
    """The peer's daemon is heard again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathValidated:
    """The peer answered over this path within ``rtt_s`` seconds."""

    path: Path
    rtt_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFailed:
    """The peer did not answer over this path."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswered:
    """The peer answered the probe of this number, sent over ``path``, after ``rtt_s`` seconds."""

    number: int
    path: Path
    rtt_s: float


Command = (
    SendDatagram
    | CheckAdoption
    | SessionAdopted
    | AdoptionRefused
    | RebindForPeer
    | FinishMove
    | MoveRefused
    | FreezeHeld
    | ReleaseHeld
    | SessionReleased
    | AttributesImported
    | PeerSilent
    | PeerHeard
    | PathValidated
    | PathFailed
    | ProbeAnswered
)
