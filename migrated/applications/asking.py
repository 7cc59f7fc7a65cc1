"""Programs that ask for the session of their connection, and wait until it is one."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from migrated.applications.client import Client
from migrated.applications.exports import Exports
from migrated.applications.refusal import RefusedError, check_owner
from migrated.core import Core
from migrated.sessions import ManagedSession
from sessionlayer.application.messages import Denied, GetSession, Granted

WAIT_MAX_S: Final = 60.0
"""Seconds for which a request waits at most, whatever it says."""

RESTORED_S: Final = 10.0
"""Seconds for which a request waits at least for a session that a restarted daemon has not taken up yet."""

WAITING_MAX: Final = 1024
"""Requests of one program that wait at once; one more is refused."""


@dataclass(eq=False, slots=True)
class _Waiting:
    client: Client
    number: int
    inode: int
    timer: asyncio.TimerHandle | None = None


class Asking:
    """Answers `GetSession`.

    Args:
        core: what the daemon's parts share.
        want: called with the inode of a socket that a program wants to be a session.
        expected: says of an inode whether it is about to be a session again after a restart.
        exports: knows what peers have exported.
    """

    def __init__(
        self, core: Core, want: Callable[[int], None], expected: Callable[[int], bool], exports: Exports
    ) -> None:
        self._core = core
        self._exports = exports
        self._want = want
        self._expected = expected
        self._waiting: defaultdict[int, list[_Waiting]] = defaultdict(list)

    def ask(self, client: Client, request: GetSession, descriptor: int) -> None:
        """Answer now, or when the connection has become a session, or when the time is over.

        Raises:
            RefusedError: it is no connection, or another user's, or is no session and is not waited for.
        """
        inode, owner = _connection(descriptor)
        check_owner(client.who, owner)
        session = self._core.sessions.of_inode(inode)
        if session is not None:
            self._grant(client, request.number, session)
            return
        self._want(inode)
        wait_s = max(request.wait_s, RESTORED_S if self._expected(inode) else 0.0)
        if wait_s <= 0:
            raise RefusedError("not-adopted", "the connection is not a session yet; wait, or ask again")
        if sum(w.client is client for waiting in self._waiting.values() for w in waiting) >= WAITING_MAX:
            raise RefusedError("busy", f"{WAITING_MAX} requests wait for their sessions already")
        self._wait(_Waiting(client, request.number, inode), min(wait_s, WAIT_MAX_S))

    def adopted(self, session: ManagedSession) -> None:
        """Answer those who wait for this session."""
        for waiting in self._waiting.pop(session.socket.inode, ()):
            self._stop(waiting)
            self._grant(waiting.client, waiting.number, session)

    def gone(self, client: Client) -> None:
        """Forget what a program that went away has waited for."""
        for waiting in [w for found in self._waiting.values() for w in found if w.client is client]:
            self._drop(waiting)

    def _grant(self, client: Client, number: int, session: ManagedSession) -> None:
        granted = Granted(
            number=number,
            session=session.session_id,
            peer=peer_of(session),
            suspended=session.frozen,
            imported=self._exports.imported(session, client),
        )
        client.tell(granted)

    def _wait(self, waiting: _Waiting, wait_s: float) -> None:
        self._waiting[waiting.inode].append(waiting)
        waiting.timer = asyncio.get_running_loop().call_later(wait_s, self._give_up, waiting)

    def _give_up(self, waiting: _Waiting) -> None:
        self._drop(waiting)
        reason = (
            "the connection did not become a session: the other host runs no daemon, or one of the two "
            "refuses; `migrate watch` tells why"
        )
        waiting.client.tell(Denied(number=waiting.number, code="not-adopted", reason=reason))

    def _drop(self, waiting: _Waiting) -> None:
        self._stop(waiting)
        self._waiting[waiting.inode].remove(waiting)
        if not self._waiting[waiting.inode]:
            del self._waiting[waiting.inode]

    def _stop(self, waiting: _Waiting) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()


def peer_of(session: ManagedSession) -> str:
    """Return the remote address and port of a session, for people."""
    connection = session.record().connection
    address = connection.remote_address
    written = f"[{address}]" if ":" in address else address
    return f"{written}:{connection.remote_port}"


def _is_tcp(descriptor: int) -> bool:
    # What it is is asked first: fstat(2) and close(2) wait where a file system wants to, and a socket that is
    # none would not close the duplicate.
    if not os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):  # noqa: PTH115
        return False
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM


def _connection(descriptor: int) -> tuple[int, int]:
    """Return a TCP socket's inode and owner.

    Raises:
        RefusedError: it is something else.
    """
    if not _is_tcp(descriptor):
        reason = "the descriptor is no TCP connection; hand over the socket itself"
        raise RefusedError("no-connection", reason)
    status = os.fstat(descriptor)
    return status.st_ino, status.st_uid
