"""How many handshakes each source address may still ask for."""

from __future__ import annotations

from sessionlayer.protocol.limits import HANDSHAKE_BURST, TokenBucket
from sessionlayer.streams.limits import SOURCES_MAX


class Sources:
    """The source addresses of a server's handshakes.

    Args:
        rate_per_s: handshakes a second that one may ask for, after a burst.
    """

    def __init__(self, rate_per_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._buckets: dict[str, TokenBucket] = {}

    def allow(self, source: str, now: float) -> bool:
        """Return whether an address may have another handshake at ``now``, and count it."""
        if len(self._buckets) >= SOURCES_MAX:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.full(now)}
        if source not in self._buckets and len(self._buckets) >= SOURCES_MAX:
            return False
        bucket = TokenBucket(rate_per_s=self._rate_per_s, burst=HANDSHAKE_BURST, now=now)
        return self._buckets.setdefault(source, bucket).take(now)
