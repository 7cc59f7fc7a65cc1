"""`migrate forward`: ports and Unix sockets of this host that lead through a gateway.

All connections share one association. If it is lost for good (the gateway was started anew, or the outage
lasted too long) its connections end, and the next one makes a new association, or is reset where it can't.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from migrated.streams.addresses import Destination, Endpoint, seen_from
from migrated.streams.association import Association
from migrated.streams.client import Gateway, Say, speaker
from migrated.streams.listening import listening
from migrated.streams.network import network_changes
from migrated.streams.outcomes import Outcome, StreamProgramError
from migrated.streams.relay import Ends, give_up, relay
from migrated.streams.words import reason
from sessionlayer.aio import StreamError, StreamRefusedError

CONNECTIONS_MAX: Final = 200
"""Connections at once, also while suspended; further ones wait in the kernel until one ends."""

_OUT_OF: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_OUT_OF_WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """Where to listen, and where it leads as the user says."""

    local: Destination
    remote: Destination


async def forward(gateways: Sequence[Gateway], forwardings: Sequence[Forwarding], *, quiet: bool) -> int:
    """Serve all forwardings until cancelled.

    Args:
        gateways: of which to go through the first that answers.
        forwardings: at least one.
        quiet: say nothing but errors.

    Returns:
        The exit status, after it was cancelled.

    Raises:
        StreamProgramError: a place can't be listened on, or there is no association to begin with.
    """
    say = speaker(quiet=quiet)
    with listening([forwarding.local for forwarding in forwardings]) as sockets:
        association = Association(gateways, say)
        with network_changes(association.retry_now):
            await association.begin()
            forwarder = _Forwarder(association, say)
            for sock, forwarding in zip(sockets, forwardings, strict=True):
                target = seen_from(association.gateway.place, forwarding.remote)
                say(f"{_bound(sock, forwarding.local)} leads to {target}")
            try:
                await forwarder.serve(sockets, [forwarding.remote for forwarding in forwardings])
            except asyncio.CancelledError:
                say(f"ended; {forwarder.connections} connections with it")
            await association.close()
    return Outcome.DONE


class _Forwarder:
    """Accepts connections and carries each to its destination."""

    def __init__(self, association: Association, say: Say) -> None:
        self._association = association
        self._say = say
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """Return how many connections there are."""
        return len(self._tasks)

    async def serve(self, sockets: Sequence[socket.socket], remotes: Sequence[Destination]) -> None:
        """Accept until cancelled."""
        try:
            await asyncio.gather(*map(self._accept, sockets, remotes))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket, remote: Destination) -> None:
        while True:
            await self._slots.acquire()
            sock = await self._next(listener)
            task = asyncio.create_task(self._carry(sock, remote))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _next(self, listener: socket.socket) -> socket.socket:
        """Accept one connection; where the host lacks descriptors or memory for it, wait for some."""
        while True:
            try:
                sock, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError as error:
                if error.errno not in _OUT_OF:
                    continue  # the client has given up before we came
                self._say(f"cannot accept a connection: {reason(error)}")
                await asyncio.sleep(_OUT_OF_WAIT_S)
            else:
                return sock

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.result()

    async def _carry(self, sock: socket.socket, remote: Destination) -> None:
        near = await _streams(sock)
        try:
            session = await self._association.session()
            target = seen_from(self._association.gateway.place, remote)
            far = await session.open_connection(str(target).encode())
        except StreamRefusedError as error:
            self._say(error.reason)
            give_up(near[1])
        except (StreamError, StreamProgramError) as error:
            self._say(f"no connection to {remote}: {error}")
            give_up(near[1])
        else:
            await self._relay(near, far, remote)

    async def _relay(self, near: Ends, far: Ends, remote: Destination) -> None:
        try:
            await relay(near, far)
        except OSError as error:
            self._say(f"a connection to {remote} broke: {reason(error)}")


async def _streams(sock: socket.socket) -> Ends:
    if sock.family == socket.AF_UNIX:
        return await asyncio.open_unix_connection(sock=sock)
    return await asyncio.open_connection(sock=sock)


def _bound(sock: socket.socket, local: Destination) -> Destination:
    """Return where a socket really listens: the port 0 stands for a free one."""
    if isinstance(local, Endpoint):
        host, port = sock.getsockname()[:2]
        return Endpoint(host, port)
    return local
