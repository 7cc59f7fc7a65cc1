"""Adoption: a TCP connection that both daemons know becomes a session.

Where both ends offer the same connection, the offer of the end that opened it goes on.

Source: docs/design.md, "Identity".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sessionlayer.protocol.commands import (
    AdoptionRefused,
    CheckAdoption,
    Command,
    SendDatagram,
    SessionAdopted,
)
from sessionlayer.protocol.keys import Entropy
from sessionlayer.protocol.limits import ADOPT_TIMEOUT_S, ADOPTIONS_PENDING_MAX, SESSIONS_MAX
from sessionlayer.protocol.messages import (
    AdoptAnswer,
    AdoptEntry,
    AdoptRequest,
    AdoptVerdict,
    batches,
    pack_address,
    printable,
    shortened,
    unpack_address,
)
from sessionlayer.protocol.releases import Releases
from sessionlayer.protocol.retry import Backoff
from sessionlayer.protocol.session import Session
from sessionlayer.protocol.values import Checked, Connection, Path, Proposal, Role
from sessionlayer.protocol.wire import Wire

SESSION_ID_BYTES = 16


@dataclass(slots=True, kw_only=True)
class _Batch:
    number: int
    entries: tuple[AdoptEntry, ...]
    backoff: Backoff
    give_up_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    connection: Connection
    number: int
    path: Path


class Adoptions:
    """The offers of both sides that are not decided yet."""

    def __init__(
        self, wire: Wire, sessions: dict[bytes, Session], releases: Releases, entropy: Entropy
    ) -> None:
        self._wire = wire
        self._sessions = sessions
        self._releases = releases
        self._entropy = entropy
        self._offers: dict[bytes, Connection] = {}
        self._batches: list[_Batch] = []
        self._checks: dict[bytes, _Check] = {}
        self._numbers = 0

    def adopt(self, connections: Sequence[Connection], now: float) -> tuple[Command, ...]:
        """Offer connections to the peer; see ``Association.adopt``."""
        taken = {_ends(c) for c in (*self._offers.values(), *(s.connection for s in self._sessions.values()))}
        # The peer's offer of it goes on: with ours as well, each end could say yes to the other's.
        taken |= {_ends(check.connection) for check in self._checks.values()}
        offers = {self._entropy(SESSION_ID_BYTES): c for c in connections if _ends(c) not in taken}
        self._offers |= offers
        entries = [_offer(session_id, connection) for session_id, connection in offers.items()]
        return tuple(self._start(group, now) for group in batches(entries))

    def on_request(self, message: AdoptRequest, path: Path) -> tuple[Command, ...]:
        """Take the peer's offers: answer what is known, have the shell check the rest."""
        by_connection = {_ends(s.connection): s.session_id for s in self._sessions.values()}
        proposals: list[Proposal] = []
        verdicts: list[AdoptVerdict] = []
        for entry in message.entries:
            connection = _as_seen_here(entry)
            verdict = self._known(entry, connection, by_connection)
            if verdict is not None:
                verdicts.append(verdict)
            elif self._may_check(entry, connection):
                check = _Check(connection=connection, number=message.number, path=path)
                self._checks[entry.session] = check
                proposals.append(Proposal(session_id=entry.session, connection=connection))
        commands: list[Command] = [CheckAdoption(proposals=tuple(proposals))] if proposals else []
        return (*commands, *self._answer(verdicts, message.number, path))

    def checked(self, results: Sequence[Checked]) -> tuple[Command, ...]:
        """Take the shell's word on the peer's offers; see ``Association.adoption_checked``."""
        commands: list[Command] = []
        for result in results:
            check = self._checks.pop(result.session_id, None)
            if check is None:
                continue
            verdict = AdoptVerdict(session=result.session_id, reason=shortened(result.reason or ""))
            if result.reason is None:
                verdict = AdoptVerdict(session=result.session_id, adopted=result.session_id)
                commands.append(self._adopted(result.session_id, check.connection))
            commands += self._answer([verdict], check.number, check.path)
        return tuple(commands)

    def on_answer(self, message: AdoptAnswer, now: float) -> tuple[Command, ...]:
        """Take the peer's verdicts on our offers; what it took in for one that was given up is released."""
        commands: list[Command] = []
        for verdict in message.entries:
            if verdict.adopted is not None and self._releases.untold(verdict.adopted):
                continue  # it will end that one: the offer is repeated until it has
            connection = self._offers.pop(verdict.session, None)
            if connection is None:
                if verdict.adopted is not None:
                    commands += self._releases.disown([verdict.adopted], now)
                continue
            if verdict.adopted is not None and verdict.adopted not in self._sessions:
                commands.append(self._adopted(verdict.adopted, connection))
            else:
                reason = printable(verdict.reason) or "the peer gave no reason"
                commands.append(AdoptionRefused(connection=connection, reason=reason))
        return tuple(commands)

    def next_deadline(self) -> float | None:
        """Return when an offer is to be repeated or given up."""
        return min((min(b.backoff.due, b.give_up_at) for b in self._batches), default=None)

    def handle_timer(self, now: float) -> tuple[Command, ...]:
        """Repeat what is due, and give up what has waited for too long."""
        self._batches = [b for b in self._batches if any(e.session in self._offers for e in b.entries)]
        expired = [b for b in self._batches if b.give_up_at <= now]
        self._batches = [b for b in self._batches if b.give_up_at > now]
        return (*self._give_up(expired, now), *self._repeat(now))

    def _start(self, entries: tuple[AdoptEntry, ...], now: float) -> SendDatagram:
        self._numbers += 1
        batch = _Batch(
            number=self._numbers, entries=entries, backoff=Backoff(now), give_up_at=now + ADOPT_TIMEOUT_S
        )
        self._batches.append(batch)
        return self._wire.send(AdoptRequest(number=batch.number, entries=entries))

    def _repeat(self, now: float) -> Iterator[SendDatagram]:
        for batch in self._batches:
            if batch.backoff.due <= now:
                batch.backoff.again(now)
                entries = tuple(e for e in batch.entries if e.session in self._offers)
                yield self._wire.send(AdoptRequest(number=batch.number, entries=entries))

    def _give_up(self, expired: list[_Batch], now: float) -> Iterator[Command]:
        for entry in (entry for batch in expired for entry in batch.entries):
            connection = self._offers.pop(entry.session, None)
            if connection is not None:
                # It may have said yes, unheard: half a session would be frozen there one day, and lost.
                yield from self._releases.disown([entry.session], now)
                yield AdoptionRefused(connection=connection, reason="the peer's daemon does not answer")

    def _known(
        self, entry: AdoptEntry, connection: Connection, by_connection: dict[tuple[str, int, str, int], bytes]
    ) -> AdoptVerdict | None:
        if (known := by_connection.get(_ends(connection))) is not None:
            return AdoptVerdict(session=entry.session, adopted=known)
        if entry.session in self._sessions:
            return AdoptVerdict(session=entry.session, reason="the session id is in use")
        if len(self._sessions) >= SESSIONS_MAX:
            return AdoptVerdict(session=entry.session, reason=f"there are {SESSIONS_MAX} sessions already")
        return None

    def _may_check(self, entry: AdoptEntry, connection: Connection) -> bool:
        checked = entry.session in self._checks or any(
            _same(connection, c.connection) for c in self._checks.values()
        )
        room = len(self._checks) < ADOPTIONS_PENDING_MAX
        return room and not checked and not self._ours_goes_on(entry, connection)

    def _ours_goes_on(self, entry: AdoptEntry, connection: Connection) -> bool:
        """Return whether of both ends' offers of one connection ours goes on, and this one is passed over.

        The end that opened the connection goes on. Each takes itself for that one where the other's listener
        was closed after it had accepted; then the smaller session id does.
        """
        for session_id, ours in self._offers.items():
            if _same(ours, connection):
                return ours.role is Role.CLIENT and (not entry.client or session_id < entry.session)
        return False

    def _adopted(self, session_id: bytes, connection: Connection) -> SessionAdopted:
        self._offers = {i: c for i, c in self._offers.items() if not _same(c, connection)}
        self._sessions[session_id] = Session(session_id, connection)
        return SessionAdopted(session_id=session_id, connection=connection)

    def _answer(self, verdicts: list[AdoptVerdict], number: int, path: Path) -> list[Command]:
        groups = batches(verdicts)
        return [self._wire.send(AdoptAnswer(number=number, entries=group), path) for group in groups]


def _ends(connection: Connection) -> tuple[str, int, str, int]:
    """Return what names a connection, whoever is taken to have opened it."""
    return (
        connection.local_address,
        connection.local_port,
        connection.remote_address,
        connection.remote_port,
    )


def _same(one: Connection, other: Connection) -> bool:
    return _ends(one) == _ends(other)


def _offer(session_id: bytes, connection: Connection) -> AdoptEntry:
    return AdoptEntry(
        session=session_id,
        local_address=pack_address(connection.local_address),
        local_port=connection.local_port,
        remote_address=pack_address(connection.remote_address),
        remote_port=connection.remote_port,
        client=connection.role is Role.CLIENT,
    )


def _as_seen_here(entry: AdoptEntry) -> Connection:
    return Connection(
        local_address=unpack_address(entry.remote_address),
        local_port=entry.remote_port,
        remote_address=unpack_address(entry.local_address),
        remote_port=entry.local_port,
        role=Role.SERVER if entry.client else Role.CLIENT,
    )
