"""The server's end of a session: it judges transports, and takes or refuses connections."""

from __future__ import annotations

from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.streams import secrets
from sessionlayer.streams.connection import Connection
from sessionlayer.streams.events import Lost
from sessionlayer.streams.openings import (
    CONTROL,
    AnswerBody,
    Opening,
    OpeningBody,
    read_opening,
    write_answer,
)
from sessionlayer.streams.session import Session
from sessionlayer.streams.transitions import ConnectionEvent, ConnectionPhase


class ServerSession(Session):
    """A session whose transports the peer makes."""

    def authenticate(self, opening: Opening) -> OpeningBody:
        """Return what an opening says; nothing changes yet, so that an older transport can be drained first.

        Raises:
            RemoteProtocolError: it is not authentic, not newer than what we have, or a repetition.
        """
        body = read_opening(self._start.key, opening)
        current = self.connections.get(opening.connection)
        newest = self.generation if opening.connection == CONTROL else current.generation if current else 0
        if opening.generation <= newest:
            raise RemoteProtocolError(f"generation {opening.generation} is not newer than {newest}")
        return body

    def accept_control(self, opening: Opening, now: float) -> bytes:
        """Take an authentic control opening; return the answer."""
        self.generation = opening.generation
        key = secrets.opening_key(self._start.key, CONTROL, opening.generation, opening.nonce)
        answer = write_answer(key, nonce := self._entropy(secrets.NONCE_BYTES), AnswerBody())
        self._resume_control(secrets.answer_key(key, nonce), now)
        return answer

    def accept_data(self, opening: Opening, body: OpeningBody) -> tuple[Connection | None, bytes]:
        """Take an authentic data opening, once the older transport was drained.

        Returns the connection, and the answer unless that waits for ``admit``; no connection if the answer
        is a refusal.

        Raises:
            RemoteProtocolError: it does not fit what we know.
        """
        key = secrets.opening_key(self._start.key, opening.connection, opening.generation, opening.nonce)
        connection = self.connections.get(opening.connection)
        if connection is None:
            refusal = self._why_not(opening.connection)
            if refusal:
                answer = AnswerBody(refusal=refusal)
                return None, write_answer(key, self._entropy(secrets.NONCE_BYTES), answer)
            self._seen.accept(opening.connection)
            connection = self._add(opening.connection, body.purpose, sealed=body.sealed)
        if connection.phase is ConnectionPhase.RESET:
            connection.generation = opening.generation
            return None, self._answer(connection, key)
        connection.opened(body, key, opening.generation)
        self._after_positions(connection)
        return connection, b"" if connection.phase is ConnectionPhase.OPENING else self._answer(
            connection, key
        )

    def _why_not(self, number: int) -> str:
        if not self._seen.fresh(number):
            return "the connection is over"
        if len(self.connections) >= self.options.connections_max:
            return f"the session has {len(self.connections)} connections already"
        return ""

    def _answer(self, connection: Connection, key: bytes) -> bytes:
        return write_answer(key, self._entropy(secrets.NONCE_BYTES), connection.answer())

    def admit(self, connection: Connection) -> bytes:
        """Take a new connection; return the answer to its newest opening, empty if it is over already."""
        if connection.phase is not ConnectionPhase.OPENING:
            return b""
        connection.machine.feed(ConnectionEvent.ADMIT)
        self._dirty.add(connection.number)  # a client that gave it up meanwhile says so when it hears of it
        return self._answer(connection, connection.opening_key)

    def refuse(self, connection: Connection, reason: str) -> bytes:
        """Refuse a new connection; return the answer to its newest opening, empty if it is over already."""
        if connection.phase is not ConnectionPhase.OPENING:
            return b""
        connection.give_up(reason, ConnectionEvent.REFUSE)
        self._dirty.add(connection.number)
        self._effects.append(Lost(connection.number, None))
        return self._answer(connection, connection.opening_key)
