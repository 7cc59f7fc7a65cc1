"""Attachment points where a move failed, barred for a while for the peer it failed with."""

from __future__ import annotations

from dataclasses import dataclass

from engine.attachment import PointKey

RETRY_S = 5.0
"""How long, in seconds, a point is barred after a first failed move there."""

MAX_RETRY_S = 300.0
"""The longest that a point is barred, in seconds; each failure in a row doubles the time up to it."""


@dataclass(slots=True)
class _Pause:
    until: float
    length_s: float
    barring: bool = True


class Failures:
    """Hold, by peer, the points where moves failed. A peer's entries go with its last session."""

    def __init__(self) -> None:
        self._pauses: dict[str, dict[PointKey, _Pause]] = {}

    def record(self, peer: str, point: PointKey, now: float) -> None:
        """Bar a point for a peer from ``now``.

        Sessions that moved together fail together, so a failure while the point is
        barred already is the same failure and doubles nothing.
        """
        pauses = self._pauses.setdefault(peer, {})
        pause = pauses.get(point)
        if pause is None:
            pauses[point] = _Pause(now + RETRY_S, RETRY_S)
        elif not pause.barring or pause.until <= now:
            length_s = min(2 * pause.length_s, MAX_RETRY_S)
            pauses[point] = _Pause(now + length_s, length_s)

    def barred(self, peer: str) -> frozenset[PointKey]:
        """Return the points that sessions with this peer can't be moved to for the present."""
        return frozenset(point for point, pause in self._pauses.get(peer, {}).items() if pause.barring)

    def next_deadline(self) -> float | None:
        """Return when the next point stops being barred."""
        times = (p.until for pauses in self._pauses.values() for p in pauses.values() if p.barring)
        return min(times, default=None)

    def expire(self, now: float) -> set[str]:
        """Let points be tried again whose time is over, and return the peers concerned."""
        peers = set[str]()
        for peer, pauses in self._pauses.items():
            for pause in pauses.values():
                if pause.barring and pause.until <= now:
                    pause.barring = False
                    peers.add(peer)
        return peers

    def succeeded(self, peer: str, point: PointKey) -> bool:
        """Forget failures of a peer's at a point where a move worked; return whether it was barred."""
        pause = self._pauses.get(peer, {}).pop(point, None)
        return pause is not None and pause.barring

    def forget_interface(self, interface: str, address: str | None = None) -> set[str]:
        """Forget all failures on an interface, or at one address of it, and return the peers concerned."""
        peers = set[str]()
        for peer, pauses in self._pauses.items():
            for point in [p for p in pauses if p[0] == interface and address in (None, p[1])]:
                del pauses[point]
                peers.add(peer)
        return peers

    def forget_peer(self, peer: str) -> None:
        """Forget a peer that has no session any more."""
        self._pauses.pop(peer, None)
