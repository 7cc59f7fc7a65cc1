"""Find connections of unmodified programs that are to be sessions, and notice when they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pwd
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Final

from engine import AttachmentPoint, SessionDescription
from engine import Connection as DescribedConnection
from migrated.core import Core
from migrated.hosts import HostNames
from migrated.kernel.errors import RebindError
from migrated.kernel.freeze import OwnOptions
from migrated.kernel.holders import Holder, find_holders
from migrated.kernel.rebind import Connection, check_movable, make_room
from migrated.kernel.table import ConnectionTable, Row, established
from migrated.peers import Peer, Peers
from migrated.restore import Restorer, written
from migrated.sessions import ManagedSession, SocketState
from policylang import DEFAULT_POLICY_FILE
from sessionlayer.protocol.commands import AdoptionRefused, CheckAdoption, SessionAdopted
from sessionlayer.protocol.values import Checked, Role
from sessionlayer.protocol.values import Connection as SessionConnection

_log = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 30.0
"""Seconds after which a connection whose peer did not adopt it is offered again."""

TOGETHER_S: Final = 10.0
"""Seconds for which one may wait, so that others can be offered with it: it takes a look at all processes."""

NOT_HERE: Final = "there is no such connection here"
"""Why a connection is refused that no program has: the end that opened it is through with TCP's handshake
first, and a busy program accepts later still."""

SOON_S: Final = (1.0, 2.0, 4.0)
"""Seconds after which such a connection is offered again, each time that it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A connection that could become a session."""

    row: Row
    connection: Connection
    described: DescribedConnection
    own: OwnOptions
    point: AttachmentPoint

    @property
    def program(self) -> str:
        """Return the name of the program that holds it."""
        return self.connection.holders[0].program

    def as_session(self) -> SessionConnection:
        """Return the connection as the protocol writes it."""
        return SessionConnection(
            local_address=self.row.local.address,
            local_port=self.row.local.port,
            remote_address=self.row.remote.address,
            remote_port=self.row.remote.port,
            role=Role.SERVER if self.row.accepted else Role.CLIENT,
        )


class Adopter:
    """Reads the kernel's table from time to time and makes sessions of what policy says.

    Args:
        core: what the daemon's parts share.
        peers: the other daemons.
        restorer: knows the sessions from before a restart.
        remote_hosts: returns the names of hosts that the policy in force compares with.
    """

    def __init__(
        self, core: Core, peers: Peers, restorer: Restorer, remote_hosts: Callable[[], Iterable[str]]
    ) -> None:
        self._core = core
        self._peers = peers
        self._restorer = restorer
        self._table = ConnectionTable()
        self._judged: Mapping[int, Row] = {}
        self._occasion: object = None
        self._look_at = 0.0
        self._not_before: dict[int, float] = {}
        self._early: dict[int, int] = {}  # how often each was refused as nobody had accepted it
        self._wanted: set[int] = set()
        self._offered: dict[SessionConnection, Candidate] = {}
        self._checked: dict[bytes, Candidate] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._names = HostNames(core.journal, remote_hosts, self._judge_anew)

    async def follow_names(self) -> None:
        """Keep the names of other hosts up to date until cancelled."""
        await self._names.run()

    def want(self, inode: int) -> None:
        """Adopt the connection of this socket whatever policy says: its program asked for it."""
        self._wanted.add(inode)
        self._not_before.pop(inode, None)
        self._look_at = 0.0

    def judge_anew(self) -> None:
        """Judge all connections again at the next scan: the policy is another one."""
        self._names.look()
        self._judge_anew()

    def _judge_anew(self) -> None:
        self._not_before.clear()
        self._look_at = 0.0

    def scan(self) -> None:
        """Compare the kernel's table with the sessions: some have ended, others may begin."""
        now = self._core.now()
        rows = self._table.read(now, self._core.sessions.version)
        occasion = (self._core.sessions.version, self._core.engine.points())
        if rows is self._judged and occasion == self._occasion and now < self._look_at:
            return
        self._judged, self._occasion = rows, occasion
        self._restorer.restore(rows, now)
        for session in self._core.sessions:
            if session.socket.inode not in rows and session.socket.released is None:
                self._core.end(session, "its connection has ended", tell_peer=True)
        self._not_before = {inode: at for inode, at in self._not_before.items() if inode in rows}
        self._early = {inode: times for inode, times in self._early.items() if inode in rows}
        self._wanted &= rows.keys()
        fresh = [
            row
            for row in rows.values()
            if not row.accepted
            and self._core.sessions.of_inode(row.inode) is None
            and self._not_before.get(row.inode, 0.0) <= now
        ]
        candidates = self._candidates(fresh, now)
        again = min((at for at in self._not_before.values() if at > now), default=inf)
        self._look_at = now if self._restorer.waiting else again
        for remote in {candidate.row.remote.address for candidate in candidates}:
            self._offer(remote, [c for c in candidates if c.row.remote.address == remote])

    # As the end that opened the connection.

    def _candidates(self, rows: Sequence[Row], now: float) -> list[Candidate]:
        """Return those connections that policy adopts and that could be moved."""
        placed = [(row, point) for row in rows if (point := self._core.point_of(row.local.address))]
        if not placed:
            return []
        holders = find_holders([row.inode for row, _ in placed])
        candidates = []
        for row, point in placed:
            self._not_before[row.inode] = _again(now)
            if row.inode not in holders:
                continue
            connection = Connection(inode=row.inode, holders=holders[row.inode])
            described = _described(row, connection, self._names)
            adopted = row.inode in self._wanted or self._core.engine.adopts(_description(described)).adopt
            if not adopted:
                continue
            try:
                own = check_movable(connection)
            except RebindError as error:
                self._core.journal.tell(
                    "left-alone",
                    owner=row.uid,
                    program=holders[row.inode][0].program,
                    peer=str(row.remote),
                    reason=str(error),
                )
                continue
            candidates.append(
                Candidate(row=row, connection=connection, described=described, own=own, point=point)
            )
        return candidates

    def _offer(self, remote: str, candidates: list[Candidate]) -> None:
        self._begin(self._offer_to(remote, candidates), f"offer to {remote}")

    async def _greet(self, candidate: Candidate) -> None:
        row = candidate.row
        await self._peers.associate(row.remote.address, row.local.address, device=candidate.point.interface)

    def _begin(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._offered_to)

    def _offered_to(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("offering connections failed", exc_info=error)

    async def _offer_to(self, remote: str, candidates: list[Candidate]) -> None:
        local = candidates[0].row.local.address
        known = (p for p in self._peers if remote in p.proven and local in p.introduced and not p.silent)
        peer = next(known, None)
        if peer is None:
            peer = await self._peers.associate(remote, local, device=candidates[0].point.interface)
        if peer is None:
            return
        self._offered |= {candidate.as_session(): candidate for candidate in candidates}
        connections = [candidate.as_session() for candidate in candidates]
        self._core.perform(peer, peer.association.adopt(connections, self._core.now()))

    def on_silent(self, peer: Peer) -> None:
        """Shake hands again with a peer that was offered connections and may have forgotten us."""
        for candidate in self._offered.values():
            if candidate.row.remote.address in peer.proven:
                self._begin(self._greet(candidate), f"greet {peer.name}")
                return

    def on_refused(self, peer: Peer, command: AdoptionRefused) -> None:
        """Leave a connection alone that the peer does not adopt."""
        candidate = self._offered.pop(command.connection, None)
        if candidate is None or (command.reason == NOT_HERE and self._offer_soon(candidate.row.inode)):
            return
        self._core.journal.tell(
            "left-alone",
            owner=candidate.row.uid,
            program=candidate.program,
            peer=peer.name,
            reason=command.reason,
        )

    def _offer_soon(self, inode: int) -> bool:
        """Offer a connection again before long, unless that was done often enough; return whether it is."""
        times = self._early.get(inode, 0)
        if times == len(SOON_S):
            return False
        self._early[inode] = times + 1
        self._not_before[inode] = self._core.now() + SOON_S[times]
        self._look_at = min(self._look_at, self._not_before[inode])
        return True

    # As the end that accepted the connection.

    def on_check(self, peer: Peer, command: CheckAdoption) -> None:
        """Answer whether connections that the peer offers are ours, and may be sessions."""
        rows = list(established().values())
        asked = [
            (proposal, next((r for r in rows if _is(proposal.connection, r.local, r.remote)), None))
            for proposal in command.proposals
        ]
        holders = find_holders([row.inode for _, row in asked if row is not None])
        results = []
        for proposal, row in asked:
            known = self._core.sessions.of_id(proposal.session_id) is not None
            result = "the session id is in use" if known else self._judge_proposal(peer, row, holders)
            if isinstance(result, Candidate):
                self._checked[proposal.session_id] = result
            reason = result if isinstance(result, str) else None
            results.append(Checked(session_id=proposal.session_id, reason=reason))
        self._core.perform(peer, peer.association.adoption_checked(results))

    def _judge_proposal(
        self, peer: Peer, row: Row | None, holders: Mapping[int, tuple[Holder, ...]]
    ) -> Candidate | str:
        if row is None:
            return NOT_HERE
        if row.remote.address not in peer.proven:
            return "the connection's other end is not where the association comes from"
        if self._core.sessions.of_inode(row.inode) is not None:
            return "the connection belongs to another session"
        point = self._core.point_of(row.local.address)
        if point is None:
            return "its local address is not on a link that can be used"
        if row.inode not in holders:
            return "no program holds the connection"
        connection = Connection(inode=row.inode, holders=holders[row.inode])
        described = _described(row, connection, self._names)
        verdict = self._core.engine.adopts(_description(described))
        said_never = any(
            r.span is not None and r.span.file != str(DEFAULT_POLICY_FILE) for r in verdict.reasons
        )
        if not verdict.adopt and said_never and row.inode not in self._wanted:
            return "policy says `adopt never`"
        try:
            own = check_movable(connection)
        except RebindError as error:
            return str(error)
        return Candidate(row=row, connection=connection, described=described, own=own, point=point)

    # Both.

    def on_adopted(self, peer: Peer, command: SessionAdopted) -> None:
        """Take in a session that both daemons know now."""
        candidate = self._checked.pop(command.session_id, None) or self._offered.pop(command.connection, None)
        if candidate is None or self._core.sessions.of_inode(candidate.row.inode) is not None:
            self._core.perform(peer, peer.association.release(command.session_id, self._core.now()))
            return
        now = time.time()
        session = ManagedSession(
            session_id=command.session_id,
            peer_key=peer.key,
            peer=peer,
            uid=candidate.row.uid,
            pid=candidate.connection.holders[0].pid,
            program=candidate.program,
            description=_description(candidate.described, command.session_id.hex()),
            attachment=candidate.point.key,
            adopted_at=now,
            since=now,
            socket=SocketState(inode=candidate.row.inode, own=candidate.own),
        )
        with contextlib.suppress(RebindError):  # it may be gone already; the next scan notices
            make_room(candidate.connection)
        self._core.sessions.add(session)
        self._core.engine.add_session(session.description, session.attachment, self._core.now())
        self._core.save(session)
        self._core.journal.tell(
            "adopted",
            owner=session.uid,
            session=session.short,
            program=session.program,
            link=candidate.point.name,
            peer=str(candidate.row.remote),
        )
        self._wanted.discard(session.socket.inode)
        self._core.programs.adopted(session)


def _again(now: float) -> float:
    """Return when a connection is to be judged again that is none of ours: at the same time as others."""
    return ceil((now + ASK_AGAIN_S) / TOGETHER_S) * TOGETHER_S


def _described(row: Row, connection: Connection, names: HostNames) -> DescribedConnection:
    try:
        user = pwd.getpwuid(row.uid).pw_name
    except KeyError:
        user = str(row.uid)
    return DescribedConnection(
        proto="tcp",
        local_address=row.local.address,
        local_port=row.local.port,
        remote_address=row.remote.address,
        remote_port=row.remote.port,
        user=user,
        app=connection.holders[0].program,
        role="server" if row.accepted else "client",
        remote_hosts=names.of(row.remote.address),
    )


def _description(described: DescribedConnection, name: str = "candidate") -> SessionDescription:
    return SessionDescription(id=name, connections=(described,))


def _is(connection: SessionConnection, local: object, remote: object) -> bool:
    return (str(local), str(remote)) == (
        written(connection.local_address, connection.local_port),
        written(connection.remote_address, connection.remote_port),
    )
