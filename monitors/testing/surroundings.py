"""Surroundings whose daemon, sessions and peers are what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from monitors.surroundings import KeepAlive, Solitude, WatchedConnection, WatchedPath, WatchedPeer


class FakeSurroundings(Solitude):
    """Stand in for the daemon: a test says what there is, and whoever waits for a change hears of it.

    ::

        around = FakeSurroundings(settings={"my-monitor": {"every_s": 1.0}})
        around.set(paths=[path])
        around.answers[path] = 0.031  # what its probes take, in seconds

    Args:
        settings: the settings of each monitor, by its name.
        state_folder: a folder for files.
        sleep: waits for as many seconds, while a probe is not answered.

    Attributes:
        answers: The round-trip time of probes by path, in seconds; no other path answers.
        probed: The paths of all probes, in their order.
        looks: How often connections, paths, peers or keep-alives were looked at.
    """

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        state_folder: Path | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(settings, state_folder)
        self._sleep = sleep
        self.answers: dict[WatchedPath, float] = {}
        self.probed: list[WatchedPath] = []
        self.looks = 0
        self._connections: tuple[WatchedConnection, ...] = ()
        self._paths: tuple[WatchedPath, ...] = ()
        self._peers: tuple[WatchedPeer, ...] = ()
        self._keep_alives: tuple[KeepAlive, ...] = ()
        self._changed = asyncio.Event()

    def set(
        self,
        *,
        connections: Iterable[WatchedConnection] | None = None,
        paths: Iterable[WatchedPath] | None = None,
        peers: Iterable[WatchedPeer] | None = None,
        keep_alives: Iterable[KeepAlive] | None = None,
    ) -> None:
        """Replace what is given, leave the rest, and tell who waits for a change."""
        self._connections = self._connections if connections is None else tuple(connections)
        self._paths = self._paths if paths is None else tuple(paths)
        self._peers = self._peers if peers is None else tuple(peers)
        self._keep_alives = self._keep_alives if keep_alives is None else tuple(keep_alives)
        self._changed.set()
        self._changed = asyncio.Event()

    def connections(self) -> tuple[WatchedConnection, ...]:
        """Return the connections that were set last; the others do likewise."""
        self.looks += 1
        return self._connections

    def paths(self) -> tuple[WatchedPath, ...]:
        """Return the paths."""
        self.looks += 1
        return self._paths

    def peers(self) -> tuple[WatchedPeer, ...]:
        """Return the peers."""
        self.looks += 1
        return self._peers

    def keep_alives(self) -> tuple[KeepAlive, ...]:
        """Return what programs said."""
        self.looks += 1
        return self._keep_alives

    async def changed(self) -> None:
        """Wait for the next `set`."""
        await self._changed.wait()

    async def probe(self, path: WatchedPath, timeout_s: float) -> float | None:
        """Answer at once as ``answers`` says, or not within ``timeout_s`` seconds."""
        self.probed.append(path)
        rtt_s = self.answers.get(path)
        if rtt_s is not None and rtt_s <= timeout_s:
            await asyncio.sleep(0)
            return rtt_s
        await self._sleep(timeout_s)
        return None
