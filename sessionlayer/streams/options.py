"""What a program may choose about its streams."""

from __future__ import annotations

from dataclasses import dataclass

from sessionlayer.streams.limits import RING_MIN

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Bounds and times of a session or of all sessions of a server.

    Attributes:
        ring_max: bytes that one connection may have unacknowledged, at least 256 KiB; its writer waits beyond
            it.
        expire_s: seconds of suspension after which a session is given up.
        heartbeat_s: seconds between two pings.
        silence_s: seconds without anything from the peer after which the session is suspended.
        close_s: seconds that closing a session may wait for what was written to be acknowledged.
        connections_max: connections at once in a session, at most 1024; a further one is refused.
        sessions_max: sessions at once at a server; a further one is refused.
        sessions_per_key: sessions of one client's key; a further one takes the place of that key's
            longest suspended one, or is refused if none is suspended.
        handshakes_per_s: new sessions a second that one source address may ask for, after a burst of 20.
    """

    ring_max: int = 16 * 1024 * 1024
    expire_s: float = 7 * DAY_S
    heartbeat_s: float = 1.0
    silence_s: float = 3.0
    close_s: float = 10.0
    connections_max: int = 256
    sessions_max: int = 10_000
    sessions_per_key: int = 64
    handshakes_per_s: float = 5.0

    def __post_init__(self) -> None:
        if self.ring_max < RING_MIN:
            raise ValueError(f"`ring_max` is {self.ring_max} bytes, it must be at least {RING_MIN}")
        if not 1 <= self.connections_max <= 1024:
            raise ValueError(f"`connections_max` is {self.connections_max}, it must be between 1 and 1024")
        if not 0 < self.heartbeat_s < self.silence_s:
            raise ValueError("`heartbeat_s` must be above 0 and below `silence_s`")
