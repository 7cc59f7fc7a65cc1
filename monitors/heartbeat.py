"""The heartbeat monitor: for how long the daemon at the other end of each session has been silent.

Daemons send each other a heartbeat every second, whether their sessions are idle or not. At rest nothing is
reported, and nobody looks more often than these come. A silent peer is looked at twice a second, so that one
that is heard again is known soon.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from monitors.ages import following, keep_looking, lifetime_s, reached
from monitors.events import FactMeasured
from monitors.facts import PEER_SILENCE, Fact
from monitors.settings import refuse_any
from monitors.spec import Monitor, Report, hookimpl
from monitors.surroundings import Surroundings, WatchedPeer

POLL_S: Final = 0.5
"""Seconds between two looks at a silent peer, at most."""


class Silences:
    """What was reported of each session; an event counts as reported when ``report`` has taken it."""

    def __init__(self) -> None:
        self._reported: dict[str, float] = {}

    def look(self, peers: Iterable[WatchedPeer], now: float, report: Report) -> float | None:
        """Report what is another than before, and return when to look again; ``None`` without peers.

        Args:
            peers: the daemons with which there are sessions.
            now: event loop's clock, seconds.
            report: takes each event.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next look reports it.
        """
        dues: list[float] = []
        seen: set[str] = set()
        for peer in peers:
            step = reached(now - peer.heard_at)
            for session in peer.sessions:
                if self._reported.get(session) != step:
                    report(_silence(session, step))
                    self._reported[session] = step
            seen.update(peer.sessions)
            due = peer.heard_at + following(step)
            dues.append(min(due, now + POLL_S) if step else due)
        for session in self._reported.keys() - seen:
            report(_silence(session, None))
            del self._reported[session]
        return min(dues, default=None)


class HeartbeatMonitor:
    """Report when a peer falls silent, in steps for how long, and when it is heard again.

    Args:
        surroundings: know the peers.
    """

    name = "heartbeat"
    facts: tuple[Fact, ...] = (PEER_SILENCE,)

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._silences = Silences()

    async def run(self, report: Report) -> None:
        """Report the silence of every session's peer, then every change, until cancelled.

        Raises:
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        await keep_looking(
            self._surroundings, lambda now: self._silences.look(self._surroundings.peers(), now, report)
        )


def _silence(session: str, step: float | None) -> FactMeasured:
    limit = None if step is None else lifetime_s(step)
    return FactMeasured(fact=PEER_SILENCE.name, value=step, session=session, lifetime_s=limit)


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> tuple[Monitor, ...]:
    """Offer the heartbeat monitor.

    Raises:
        SettingsError: somebody set something; it has no settings.
    """
    refuse_any(surroundings.settings(HeartbeatMonitor.name))
    return (HeartbeatMonitor(surroundings),)
