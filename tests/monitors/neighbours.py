"""Surroundings whose peers and programs a test makes up, and a clock that only waiting moves."""

from __future__ import annotations

import asyncio

from monitors.surroundings import KeepAlive, Solitude, WatchedPeer


class Neighbours(Solitude):
    """What a test says there is. ``looks`` counts how often somebody looked."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[str, float] = {}
        self.sessions: dict[str, tuple[str, ...]] = {}
        self.said: dict[str, KeepAlive] = {}
        self.looks = 0
        self._changed = asyncio.Event()

    def hear(self, peer: str, *sessions: str) -> None:
        """Hear a peer now; the sessions are its from now on, if any are named."""
        self.heard[peer] = asyncio.get_running_loop().time()
        if sessions:
            self.sessions[peer] = sessions
            self.touch()

    def say(self, session: str, *, healthy: bool = True, quietly: bool = False) -> None:
        """Have a program say how it is; ``quietly`` if that is no news."""
        now = asyncio.get_running_loop().time()
        before = self.said.get(session)
        well_at = now if healthy or before is None else before.well_at
        self.said[session] = KeepAlive(session=session, healthy=healthy, well_at=well_at)
        if not quietly:
            self.touch()

    def touch(self) -> None:
        """Wake who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def peers(self) -> tuple[WatchedPeer, ...]:
        self.looks += 1
        return tuple(
            WatchedPeer(name=name, sessions=sessions, heard_at=self.heard[name])
            for name, sessions in self.sessions.items()
        )

    def keep_alives(self) -> tuple[KeepAlive, ...]:
        self.looks += 1
        return tuple(self.said.values())

    async def changed(self) -> None:
        await self._changed.wait()
