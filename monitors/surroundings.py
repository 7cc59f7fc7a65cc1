"""What a monitor may know of the daemon that it runs in, and ask of it.

The paper's daemon registers each connection of a session with the monitors. Here a monitor looks at what is
registered now: frozen values in a tuple, made anew when something changes. It never learns more of sessions
than how their connections can be found and whom they reach.

Source: the Migrate paper, section V-E.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedConnection:
    """A live connection of a session. Suspended ones, whose sockets say nothing, are left out.

    Attributes:
        session: The session's name, as events give it.
        connection: What tells it apart from others of the session, as events give it.
        local_address: In canonical text form, as all addresses here.
        local_port: 1 to 65535.
        remote_address: The peer's.
        remote_port: 1 to 65535.
        interface: The name of the link that it uses.
        inode: That of its socket, as in ``/proc/net/tcp`` and sock_diag(7); no move changes it.
    """

    session: str
    connection: str
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    interface: str
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedPath:
    """A usable local address and the address of a peer that sessions reach, or could reach, from there.

    ``in_use`` says whether a session is on it now, live or suspended there.
    """

    interface: str
    local_address: str
    peer: str
    in_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedPeer:
    """Another daemon: the names of the sessions with it, and when it was last heard (event loop's clock)."""

    name: str
    sessions: tuple[str, ...]
    heard_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """What the program of a session said last of its health, and when (event loop's clock, in seconds).

    ``well_at`` is when it last said that all is well, or when it began to say anything at all.
    """

    session: str
    healthy: bool
    well_at: float


class Surroundings(Protocol):
    """The daemon, as its monitors see it. What is not asynchronous may be called from any thread."""

    @property
    def state_folder(self) -> Path | None:
        """Return a folder that survives a reboot, for the monitor's own files; ``None`` if there is none."""
        ...

    def settings(self, monitor: str) -> Mapping[str, object]:
        """Return the table ``[monitors.NAME]`` of the configuration; empty if there is none."""
        ...

    def connections(self) -> tuple[WatchedConnection, ...]:
        """Return the live connections of all sessions."""
        ...

    def paths(self) -> tuple[WatchedPath, ...]:
        """Return the usable paths to the peers of all sessions."""
        ...

    def peers(self) -> tuple[WatchedPeer, ...]:
        """Return the daemons with which there are sessions."""
        ...

    def keep_alives(self) -> tuple[KeepAlive, ...]:
        """Return what programs said last, of sessions of which they ever said anything."""
        ...

    async def changed(self) -> None:
        """Wait until connections, paths or peers come or go, or a program says something of its health."""
        ...

    async def probe(self, path: WatchedPath, timeout_s: float) -> float | None:
        """Ask the peer's daemon for a sign of life over a path.

        Returns:
            The round-trip time in seconds, or ``None`` if no answer came within ``timeout_s`` seconds.
        """
        ...


class Solitude:
    """The surroundings of a monitor that nobody has given any: no settings, no sessions, no daemon.

    Args:
        settings: the settings of each monitor, by its name.
        state_folder: a folder for files.
    """

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        state_folder: Path | None = None,
    ) -> None:
        self._settings = settings or {}
        self._state_folder = state_folder

    @property
    def state_folder(self) -> Path | None:
        """Return the folder."""
        return self._state_folder

    def settings(self, monitor: str) -> Mapping[str, object]:
        """Return a monitor's settings."""
        return self._settings.get(monitor, {})

    def connections(self) -> tuple[WatchedConnection, ...]:
        """Return none."""
        return ()

    def paths(self) -> tuple[WatchedPath, ...]:
        """Return none."""
        return ()

    def peers(self) -> tuple[WatchedPeer, ...]:
        """Return none."""
        return ()

    def keep_alives(self) -> tuple[KeepAlive, ...]:
        """Return none."""
        return ()

    async def changed(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    async def probe(self, path: WatchedPath, timeout_s: float) -> float | None:
        """Wait for an answer that can't come."""
        await asyncio.sleep(timeout_s)
        return None
