"""The daemon as its monitors see it, from whatever thread and event loop they run in."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from engine import AttachmentPoint
from migrated.core import Core
from migrated.peers import Peer, Peers
from migrated.watched import Watched
from monitors.surroundings import KeepAlive, WatchedConnection, WatchedPath, WatchedPeer
from sessionlayer.protocol.commands import ProbeAnswered
from sessionlayer.protocol.values import Path as DatagramPath

LOOK_S: Final = 0.05
"""Seconds after which monitors learn of a change: no move waits for them; many changes are told as one."""


class DaemonSurroundings:
    """Implements `monitors.surroundings.Surroundings`; made in the daemon's loop, before there are sessions.

    Args:
        settings: the tables ``[monitors.NAME]`` of the configuration.
        state_folder: where monitors may keep files.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, Mapping[str, object]],
        state_folder: Path,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._state_folder = state_folder
        self._keep_alives: Callable[[], tuple[KeepAlive, ...]] = tuple
        self._daemon: tuple[Core, Peers] | None = None
        self._watched = Watched()
        self._points: tuple[AttachmentPoint, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._awaited: dict[tuple[bytes, int], asyncio.Future[float]] = {}
        self._lock = threading.Lock()
        self._generation = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._seen: ContextVar[list[int]] = ContextVar("seen")

    # What monitors ask, in any thread.

    @property
    def state_folder(self) -> Path | None:
        """Return the folder."""
        return self._state_folder

    def settings(self, monitor: str) -> Mapping[str, object]:
        """Return a monitor's table."""
        return self._settings.get(monitor, {})

    def connections(self) -> tuple[WatchedConnection, ...]:
        """Return the live connections."""
        self._note_seen()
        return self._watched.connections

    def paths(self) -> tuple[WatchedPath, ...]:
        """Return the usable paths."""
        self._note_seen()
        return self._watched.paths

    def peers(self) -> tuple[WatchedPeer, ...]:
        """Return the daemons with which there are sessions."""
        self._note_seen()
        if self._daemon is None:
            return ()
        sessions = self._watched.sessions
        return tuple(
            WatchedPeer(name=peer.name, sessions=sessions[peer.key], heard_at=peer.association.heard_at)
            for peer in self._daemon[1]
            if peer.key in sessions
        )

    def keep_alives(self) -> tuple[KeepAlive, ...]:
        """Return what programs said last."""
        self._note_seen()
        return self._keep_alives()

    async def changed(self) -> None:
        """Wait until something is another than this task has seen it.

        What changed between a look and this call counts, too: in another thread much can happen in between.
        """
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            seen = self._seen.get(None)
            missed = seen is not None and seen[0] != self._generation
            if not missed:
                self._waiting.add(waiter)
        try:
            if not missed:
                await waiter[1].wait()
        finally:
            with self._lock:
                self._waiting.discard(waiter)
        self._note_seen()

    async def probe(self, path: WatchedPath, timeout_s: float) -> float | None:
        """Measure a path; also where the peer is silent."""
        asked = self._ask(path, timeout_s)
        if asyncio.get_running_loop() is self._loop:
            return await asked
        answer: float | None = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, self._loop))
        return answer

    # What the daemon says, in its own thread.

    def begin(self, core: Core, peers: Peers, keep_alives: Callable[[], tuple[KeepAlive, ...]]) -> None:
        """Show the daemon's sessions from now on.

        Args:
            core: has the sessions.
            peers: the other daemons.
            keep_alives: returns what programs said last of their sessions' health; any thread may call it.
        """
        self._daemon, self._keep_alives = (core, peers), keep_alives

    def look(self, points: tuple[AttachmentPoint, ...] | None = None) -> None:
        """Look soon, if sessions have changed, or the usable attachment points; call it often.

        Args:
            points: those that there are now, where they may be others.
        """
        if self._daemon is None or self._timer is not None:
            return
        if self._daemon[0].sessions.has_changed or (points is not None and points != self._points):
            self._timer = self._loop.call_later(LOOK_S, self._look)

    def touched(self) -> None:
        """Wake whoever waits for a change."""
        with self._lock:
            self._generation += 1
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            with contextlib.suppress(RuntimeError):  # its loop was closed: nobody waits there any more
                loop.call_soon_threadsafe(event.set)

    def on_answered(self, peer: Peer, command: ProbeAnswered) -> None:
        """Hand the answer to whoever waits for it still."""
        answer = self._awaited.get((peer.key, command.number))
        if answer is not None and not answer.done():
            answer.set_result(command.rtt_s)

    # Inside.

    def _note_seen(self) -> None:
        """Note that this task knows what there is now.

        The note is a list, which tasks share with those that they start: `asyncio.wait_for` may wait in one.
        """
        seen = self._seen.get(None)
        if seen is None:
            self._seen.set([self._generation])
        else:
            seen[0] = self._generation

    def _look(self) -> None:
        self._timer = None
        assert self._daemon is not None
        core, _ = self._daemon
        self._points = core.engine.points()
        if self._watched.update(core.sessions, self._points):
            self.touched()

    async def _ask(self, path: WatchedPath, timeout_s: float) -> float | None:
        found = self._way(path)
        if self._daemon is None or found is None:
            await asyncio.sleep(timeout_s)
            return None
        (core, _), (peer, way) = self._daemon, found
        number, commands = peer.association.probe(way, core.now())
        answer: asyncio.Future[float] = self._loop.create_future()
        self._awaited[peer.key, number] = answer
        try:
            core.perform(peer, commands)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._awaited[peer.key, number]

    def _way(self, path: WatchedPath) -> tuple[Peer, DatagramPath] | None:
        """Return who goes by the path's address, and the way there; of several, one that is heard."""
        if self._daemon is None:
            return None
        known = [(self._daemon[1].of_key(key), at) for key, at in self._watched.whereabouts(path.peer)]
        found = [(peer, address) for peer, address in known if peer is not None]
        if not found:
            return None
        peer, address = min(found, key=lambda each: each[0].silent)
        return peer, DatagramPath(
            local_address=path.local_address,
            remote_address=address,
            remote_port=peer.association.path.remote_port,
        )
