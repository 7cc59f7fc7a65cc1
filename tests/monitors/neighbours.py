"""Surroundings whose peers and programs a test makes up."""

from __future__ import annotations

import asyncio

import pytest

from monitors.mailbox import MailboxFullError
from monitors.spec import Monitor
from monitors.surroundings import KeepAlive, WatchedPeer
from monitors.testing import FakeSurroundings, Recorder


class Neighbours(FakeSurroundings):
    """Peers that are heard, and programs that say something, at the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[str, float] = {}
        self.sessions: dict[str, tuple[str, ...]] = {}
        self.said: dict[str, KeepAlive] = {}

    def hear(self, peer: str, *sessions: str) -> None:
        """Hear a peer now; the sessions are its from now on, if any are named."""
        self.heard[peer] = asyncio.get_running_loop().time()
        if sessions:
            self.sessions[peer] = sessions
            self.set()

    def say(self, session: str, *, healthy: bool = True, quietly: bool = False) -> None:
        """Have a program say how it is; ``quietly`` if that is no news."""
        now = asyncio.get_running_loop().time()
        before = self.said.get(session)
        well_at = now if healthy or before is None else before.well_at
        self.said[session] = KeepAlive(session=session, healthy=healthy, well_at=well_at)
        if not quietly:
            self.set()

    def peers(self) -> tuple[WatchedPeer, ...]:
        self.looks += 1
        return tuple(
            WatchedPeer(name=name, sessions=sessions, heard_at=self.heard[name])
            for name, sessions in self.sessions.items()
        )

    def keep_alives(self) -> tuple[KeepAlive, ...]:
        self.looks += 1
        return tuple(self.said.values())


async def after_a_refusal(monitor: Monitor) -> Recorder:
    """Refuse the monitor's first report, and return what its next run reports in the first 0.1 s."""
    with pytest.raises(MailboxFullError):
        await monitor.run(Recorder(refuse=True))
    taking = Recorder()
    task = asyncio.create_task(monitor.run(taking))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task})
    return taking
