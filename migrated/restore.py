"""After a restart: take sessions up as they were, and find their peers again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final

from engine import AttachmentPoint
from migrated import hands
from migrated.core import Core
from migrated.kernel.errors import RebindError
from migrated.kernel.holders import find_holders
from migrated.kernel.rebind import Connection, recover_connection
from migrated.kernel.table import Row
from migrated.peers import Peers
from migrated.sessions import Condition, ManagedSession, Released, SocketState
from migrated.store import StoredSession
from sessionlayer.protocol.transitions import SessionState
from sessionlayer.protocol.values import Role

_log = logging.getLogger(__name__)

RESTORE_PATIENCE_S: Final = 3.0
"""Seconds for which a restarted daemon waits for the monitors to report a stored session's link."""

_CUT_SHORT: Final = frozenset({SessionState.ASKING, SessionState.FINISHING, SessionState.PARKED})


class Restorer:
    """Makes sessions of what is stored of them, and looks for the daemons of silent peers.

    Args:
        core: what the daemon's parts share.
        peers: the associations.
        stored: what was stored when the daemon started.
    """

    def __init__(self, core: Core, peers: Peers, stored: Sequence[StoredSession]) -> None:
        self._core = core
        self._peers = peers
        self._unrestored = list(stored)
        self._started = core.now()
        self._turns = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> Sequence[StoredSession]:
        """Return the sessions that have not been taken up yet."""
        return tuple(self._unrestored)

    def expects(self, inode: int) -> bool:
        """Return whether a socket may be a stored session's that has not been taken up yet."""
        return any(stored.inode == inode for stored in self._unrestored)

    def restore(self, rows: Mapping[int, Row], now: float) -> None:
        """Take up those stored sessions whose connection is there, in the kernel or stored itself.

        Args:
            rows: the kernel's connections, by the inode of their socket.
            now: monotonic seconds.
        """
        waiting = []
        for stored in self._unrestored:
            row = rows.get(stored.inode)
            if row is not None and _is_still(stored, row):
                if not self._restore_connected(stored, row, now):
                    waiting.append(stored)
            elif (released := self._core.programs.stored(stored.record.session_id)) is not None:
                self._restore_released(stored, released, now)
            else:
                self._lost(stored)
        self._unrestored = waiting

    def reassociate_silent(self) -> None:
        """Shake hands again with peers that are silent: their daemon may have been started anew."""
        for session in self._core.sessions.unheard():
            # A server leaves it to its many clients, unless it is the end that wants to go on.
            ours = session.record().role is Role.CLIENT or session.departing is not None
            if ours and (way := self._way_to_peer(session)):
                self._reassociate(session, way)

    def _lost(self, stored: StoredSession) -> None:
        self._core.forget(stored.record.session_id)
        self._core.journal.tell(
            "ended",
            owner=stored.uid,
            session=stored.record.session_id.hex()[:8],
            program=stored.program,
            reason="its connection ended while the daemon was away",
        )

    def _restore_connected(self, stored: StoredSession, row: Row, now: float) -> bool:
        """Take a session up whose socket is there; return false where its link may still be reported."""
        point = self._core.point_of(row.local.address)
        if point is None and now - self._started < RESTORE_PATIENCE_S:
            return False
        holders = find_holders([row.inode]).get(row.inode, ())
        connection = Connection(inode=row.inode, holders=holders)
        frozen = _frozen(connection)
        session = self._session(
            stored,
            SocketState(inode=row.inode, own=stored.own, frozen=frozen),
            point.key if point else ("", row.local.address),
            pid=holders[0].pid if holders else 0,
        )
        if frozen and holders:
            hands.keep(session, connection)
        # Where a move of ours was cut short the peer may wait for its end: only another move brings it.
        self._take_in(session, now, unsure=frozen or stored.record.state in _CUT_SHORT)
        if session.peer is None and stored.record.role is Role.CLIENT and point is not None:
            self._reassociate(session, point)
        return True

    def _restore_released(self, stored: StoredSession, released: Released, now: float) -> None:
        local = stored.record.connection.local_address
        point = self._core.point_of(local)
        state = SocketState(inode=0, own=stored.own, frozen=True, released=released)
        session = self._session(stored, state, point.key if point else ("", local), pid=0)
        self._take_in(session, now, unsure=True)

    def _session(
        self, stored: StoredSession, state: SocketState, attachment: tuple[str, str], *, pid: int
    ) -> ManagedSession:
        return ManagedSession(
            session_id=stored.record.session_id,
            peer_key=stored.record.peer_key,
            peer=self._peers.of_key(stored.record.peer_key),
            uid=stored.uid,
            pid=pid,
            program=stored.program,
            description=stored.description,
            attachment=attachment,
            adopted_at=stored.adopted_at,
            since=time.time(),
            socket=state,
            restored=stored.record,
            condition=Condition.SUSPENDED if state.frozen else Condition.LIVE,
            moves=stored.record.moves,
        )

    def _take_in(self, session: ManagedSession, now: float, *, unsure: bool) -> None:
        self._core.sessions.add(session)
        self._core.engine.add_session(session.description, session.attachment, now, suspended=unsure)
        remote = session.record().connection
        self._core.journal.tell(
            "restored",
            owner=session.uid,
            session=session.short,
            program=session.program,
            state=session.condition.value,
            peer=written(remote.remote_address, remote.remote_port),
        )
        self._core.programs.adopted(session)

    def _reassociate(self, session: ManagedSession, way: AttachmentPoint) -> None:
        remote = session.record().connection.remote_address
        self._peers.forget_absence(remote)
        task = asyncio.create_task(self._associate(remote, way.address, way.interface))
        self._tasks.add(task)
        task.add_done_callback(self._associated)

    async def _associate(self, remote: str, local: str, device: str) -> None:
        await self._peers.associate(remote, local, device=device)

    def _associated(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("an association failed", exc_info=error)

    def _way_to_peer(self, session: ManagedSession) -> AttachmentPoint | None:
        """Return the session's own link or, where that is dead, the others in turn."""
        own = self._core.point_of(session.attachment[1])
        others = [p for p in self._core.engine.points() if p.family == session.description.family]
        if own is not None or not others:
            return own
        self._turns += 1
        return others[self._turns % len(others)]


def written(address: str, port: int) -> str:
    """Return an end of a connection as people write it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _is_still(stored: StoredSession, row: Row) -> bool:
    """Return whether a row is the stored connection: a socket's number may be another's after a reboot.

    One end may be elsewhere: the daemon may have died after a move and before it was on record.
    """
    was = stored.record.connection
    ends = (written(was.local_address, was.local_port), written(was.remote_address, was.remote_port))
    if row.uid == stored.uid and (str(row.local) == ends[0] or str(row.remote) == ends[1]):
        return True
    holders = find_holders([row.inode]).get(row.inode, ())
    return bool(holders) and _frozen(Connection(inode=row.inode, holders=holders))


def _frozen(connection: Connection) -> bool:
    if not connection.holders:
        return False
    try:
        return recover_connection(connection)
    except RebindError:
        return False
