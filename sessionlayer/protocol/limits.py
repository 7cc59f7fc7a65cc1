"""Every bound of the protocol, with its unit, its reason and what happens on overflow."""

from __future__ import annotations

PROTOCOL_VERSION = 1
"""Part of the handshake's prologue: another version fails the handshake before anything is said."""

HANDSHAKE_MESSAGE_MAX = 2048
"""Bytes in one framed handshake message; a longer one ends the handshake. An honest one has at most ~600."""

HANDSHAKE_TIMEOUT_S = 5.0
"""Seconds that a handshake may take in all; then the shell is to close the connection."""

HANDSHAKE_RATE_PER_S = 5.0
"""Incoming handshakes that one source address may start per second once its burst is used up."""

HANDSHAKE_BURST = 20
"""Incoming handshakes that one source address may start at once; one more is closed unanswered."""

DATAGRAM_MAX = 1200
"""Bytes in one datagram (RFC 9000, section 14: passes every IPv6 path with room for tunnels); longer ones are
dropped on arrival, more entries than fit travel in several datagrams."""

MESSAGE_MAX = DATAGRAM_MAX - 17 - 16
"""Bytes of one message inside a datagram: less the header and the authentication tag."""

REPLAY_WINDOW = 2048
"""Datagrams by which one may be overtaken; older ones are dropped (RFC 6479 has 1024 to 8192)."""

ADDRESSES_MAX = 16
"""Addresses that a peer may name; it is refused with more."""

REASON_MAX = 160
"""Characters in a reason that travels to the peer; ours are cut, longer ones are malformed."""

SESSIONS_MAX = 65_536
"""Sessions in one association; a further adoption is refused with a reason."""

ADOPTIONS_PENDING_MAX = 256
"""Requests of the peer whose adoption is being checked at once; further ones wait for their repetition."""

PATH_CHECKS_MAX = 64
"""Path validations under way at once; a further one fails at once."""

PROBES_MAX = 1024
"""Single probes whose answers are awaited at once; for a further one the oldest is forgotten, and its answer
then counts as nothing but a sign of life."""

RELEASES_MAX = 4096
"""Releases that wait for their acknowledgement; the oldest is forgotten, and the peer learns of it when
it next asks."""

EXPORT_PART_BYTES = 1024
"""Bytes of one part of a set of exported attributes, which fits a datagram; a longer one is malformed."""

EXPORT_PARTS_MAX = 24
"""Parts of such a set, which has at most 24 KiB: 16 KiB of names and values, and their encoding. More can't
be exported, and is malformed. So much is kept of each session, and once more while another set arrives."""

EXPORT_NAME_MAX = 255
"""Characters of an exported attribute's name; a longer one can't be exported, and is malformed."""

EXPORT_TIMEOUT_S = 60.0
"""Seconds after which exported attributes are no longer told to a peer that does not acknowledge them; it is
told anew when the session next goes on."""

EXPORT_TURN_BYTES = 65_536
"""Bytes of exported attributes that are sent at once, to one peer; the rest waits for ``EXPORT_PAUSE_S``."""

EXPORT_PAUSE_S = 0.005
"""Seconds between two such bursts."""

EPOCH_MAX = 2**62
"""Highest epoch of a session; a peer that names a higher one has sent a malformed message."""

RETRY_FIRST_S = 0.020
"""Seconds before the first repetition; doubles from time to time up to ``RETRY_MAX_S``."""

RETRY_MAX_S = 1.0
"""Seconds between repetitions at most: a link that comes back is noticed within this time."""

ADOPT_TIMEOUT_S = 10.0
"""Seconds after which an unanswered adoption is given up: the connection then stays plain TCP."""

HEARTBEAT_S = 1.0
"""Seconds between two heartbeats."""

SILENCE_S = 3.0
"""Seconds without an authentic datagram after which the peer counts as silent: three lost heartbeats."""

PATH_CHECK_S = 1.0
"""Seconds after which a path that gave no sign of life counts as failed."""

PATH_CHECK_RETRY_S = 0.2
"""Seconds between the pings of one path validation."""

HOLD_S = 0.8
"""Seconds of holding, at most, before the connection is frozen: below 1 s, when the kernel's first window
probe is due (RFC 6298, section 2.1). It is due sooner where the kernel remembers the round trip to that host
from another connection; the shell then says so (``quiet_s``)."""


class TokenBucket:
    """Allow ``rate_per_s`` events a second and ``burst`` at once; one bucket for each source."""

    def __init__(self, *, rate_per_s: float, burst: int, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._updated = now

    def take(self, now: float) -> bool:
        """Return whether one more event is allowed at ``now`` (seconds, monotonic), and count it if so."""
        self._fill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def full(self, now: float) -> bool:
        """Return whether the bucket is full again, so that it may be forgotten."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        earned = max(0.0, now - self._updated) * self._rate_per_s
        self._tokens = min(self._burst, self._tokens + earned)
        self._updated = max(self._updated, now)
