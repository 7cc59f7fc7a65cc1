"""Tell the peer what our program has exported, and take what its program has.

The shell says when a session goes on; then the set is told, and repeated until the peer has acknowledged all
of its parts. Every statement is absolute: a part says of which set it is, an acknowledgement which parts are
there. A request to move and its answer name the sender's set, so that the other side knows what it may wait
for. As a set is told anew whenever its session goes on, nothing of this has to outlive a daemon.

Source: the Migrate paper, section V-A (export).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sessionlayer.protocol.attributes import Outgoing, name_of, pack
from sessionlayer.protocol.commands import AttributesImported, Command, SendDatagram
from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.protocol.limits import EXPORT_PAUSE_S, EXPORT_TURN_BYTES
from sessionlayer.protocol.messages import Exported, ExportedAck, ExportedHave, ExportedPart, batches
from sessionlayer.protocol.session import Session
from sessionlayer.protocol.values import Path
from sessionlayer.protocol.wire import Wire


class Exports:
    """The exported attributes of all sessions with one peer, in both directions."""

    def __init__(self, wire: Wire, sessions: dict[bytes, Session]) -> None:
        self._wire = wire
        self._sessions = sessions
        self._telling: dict[bytes, None] = {}
        self._not_before = 0.0

    def export(self, session_id: bytes, values: Mapping[str, bytes]) -> None:
        """Have a set told when the session next goes on; see ``Association.export``."""
        exchange = self._session(session_id).exchange
        content = pack(values)
        if exchange.offered != name_of(content):
            exchange.outgoing = Outgoing(content)
            self._telling.pop(session_id, None)

    def tell(self, session_id: bytes, now: float) -> None:
        """Tell the peer what was exported; see ``Association.tell_exported``."""
        outgoing = self._session(session_id).exchange.outgoing
        if outgoing is not None:
            outgoing.begin(now)
            self._telling[session_id] = None

    def imported(self, session_id: bytes) -> Mapping[str, bytes] | None:
        """Return what the peer has exported; see ``Association.imported``."""
        return self._session(session_id).exchange.incoming.values

    def is_pending(self, session_id: bytes) -> bool:
        """Return whether something announced is still to come; see ``Association.imports_pending``."""
        return self._session(session_id).exchange.incoming.pending

    def on_exported(self, message: Exported, path: Path, *, newest: bool) -> tuple[Command, ...]:
        """Take parts, and say of each set they are of which parts are there."""
        complete: list[Command] = []
        have: dict[bytes, ExportedHave] = {}
        for entry in message.entries:
            session = self._sessions.get(entry.session)
            if session is None:
                continue
            incoming = session.exchange.incoming
            try:
                done = incoming.take(entry.name, entry.number, entry.count, entry.data, newest=newest)
            except RemoteProtocolError:
                self._wire.malformed += 1
                continue
            if done:
                complete.append(AttributesImported(session_id=entry.session))
            if parts := incoming.have(entry.name, entry.count):
                have[entry.session] = ExportedHave(session=entry.session, name=entry.name, parts=parts)
        acks = [self._wire.send(ExportedAck(entries=g), path) for g in batches(list(have.values()))]
        return (*complete, *acks)

    def on_ack(self, message: ExportedAck, now: float, *, newest: bool) -> None:
        """Take in what the peer has by now; an acknowledgement that was overtaken says nothing new."""
        for entry in message.entries if newest else ():
            session = self._sessions.get(entry.session)
            outgoing = session.exchange.outgoing if session else None
            if outgoing and outgoing.name == entry.name and entry.session in self._telling:
                outgoing.acknowledged(entry.parts, now)
                if not outgoing.missing:
                    del self._telling[entry.session]

    def next_deadline(self) -> float | None:
        """Return when something is to be told, or told again."""
        due = min((outgoing.due for _, outgoing in self._told()), default=None)
        return None if due is None else max(due, self._not_before)

    def handle_timer(self, now: float) -> tuple[Command, ...]:
        """Tell what is due, as much of it as may go out at once."""
        self._forget_old(now)
        if now < self._not_before:
            return ()
        due = [(session_id, outgoing) for session_id, outgoing in self._told() if outgoing.due <= now]
        room = EXPORT_TURN_BYTES
        turns: dict[Path, list[ExportedPart]] = {}
        for session_id, outgoing in due:
            if room <= 0:
                self._not_before = now + EXPORT_PAUSE_S
                break
            parts = list(_entries(session_id, outgoing))
            room -= sum(len(part.data) for part in parts)
            path = self._wire.alternative(self._wire.path, outgoing.attempt)
            turns.setdefault(path, []).extend(parts)
            outgoing.sent(now)
        return tuple(command for path, parts in turns.items() for command in self._send(parts, path))

    def _session(self, session_id: bytes) -> Session:
        if session_id not in self._sessions:
            raise LocalProtocolError(f"no session `{session_id.hex()}` in this association")
        return self._sessions[session_id]

    def _told(self) -> Iterator[tuple[bytes, Outgoing]]:
        for session_id in self._telling:
            session = self._sessions.get(session_id)
            if session is not None and session.exchange.outgoing is not None:
                yield session_id, session.exchange.outgoing

    def _forget_old(self, now: float) -> None:
        """Stop telling peers that don't answer, and of sessions that have ended."""
        self._telling = {id_: None for id_, outgoing in self._told() if outgoing.give_up_at > now}

    def _send(self, parts: list[ExportedPart], path: Path) -> list[SendDatagram]:
        return [self._wire.send(Exported(entries=group), path) for group in batches(parts)]


def _entries(session_id: bytes, outgoing: Outgoing) -> Iterator[ExportedPart]:
    for number in outgoing.missing:
        yield ExportedPart(
            session=session_id,
            name=outgoing.name,
            number=number,
            count=len(outgoing.parts),
            data=outgoing.parts[number],
        )
