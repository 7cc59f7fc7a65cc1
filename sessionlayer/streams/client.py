"""The client's end of a session: it opens connections, and makes all transports."""

from __future__ import annotations

from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.streams import secrets
from sessionlayer.streams.connection import Connection
from sessionlayer.streams.errors import StreamRefusedError
from sessionlayer.streams.events import Admitted
from sessionlayer.streams.limits import CONNECTION_MAX, PURPOSE_MAX
from sessionlayer.streams.openings import CONTROL, OpeningBody, read_answer, write_opening
from sessionlayer.streams.session import Session
from sessionlayer.streams.transitions import ConnectionPhase


class ClientSession(Session):
    """A session whose transports we make."""

    def open(self, purpose: bytes, *, sealed: bool) -> Connection:
        """Return a new connection, to be opened by a transport.

        Raises:
            LocalProtocolError: ``purpose`` is longer than 255 bytes.
            StreamRefusedError: the session has as many connections as it may have.
        """
        if len(purpose) > PURPOSE_MAX:
            raise LocalProtocolError(f"a purpose of {len(purpose)} bytes, at most {PURPOSE_MAX}")
        if len(self.connections) >= self.options.connections_max or self._next_number > CONNECTION_MAX:
            raise StreamRefusedError(f"the session has {len(self.connections)} connections already")
        connection = self._add(self._next_number, purpose, sealed=sealed)
        self._next_number += 1
        return connection

    def control_opening(self) -> bytes:
        """Return the first bytes of our next control transport."""
        self.generation += 1
        nonce = self._entropy(secrets.NONCE_BYTES)
        self._opening_key = secrets.opening_key(self._start.key, CONTROL, self.generation, nonce)
        return write_opening(self._start.key, CONTROL, self.generation, nonce, OpeningBody())

    def control_answered(self, answer: bytes, now: float) -> None:
        """Take the answer to our newest control opening.

        Raises:
            RemoteProtocolError: it is not authentic, or a refusal.
        """
        body = read_answer(self._opening_key, answer)
        if body.refusal is not None:
            raise RemoteProtocolError(f"the server refuses: {body.refusal}")
        self._resume_control(secrets.answer_key(self._opening_key, answer[: secrets.NONCE_BYTES]), now)

    def data_opening(self, connection: Connection) -> bytes:
        """Return the first bytes of a connection's next transport; ``connection.ring`` is sent behind it."""
        connection.generation += 1
        nonce = self._entropy(secrets.NONCE_BYTES)
        key = self._start.key
        connection.opening_key = secrets.opening_key(key, connection.number, connection.generation, nonce)
        body = connection.opening()
        return write_opening(key, connection.number, connection.generation, nonce, body)

    def data_answered(self, connection: Connection, answer: bytes) -> bool:
        """Take the answer to a connection's newest opening; return whether the transport goes on.

        Raises:
            RemoteProtocolError: it is not authentic, or does not fit what we know.
        """
        body = read_answer(connection.opening_key, answer)
        if body.refusal is not None:
            self._refused(connection, body.refusal)
            return False
        opening = connection.phase is ConnectionPhase.OPENING
        connection.answered(body)
        if opening:
            self._effects.append(Admitted(connection.number))
        self._after_positions(connection)
        return self.connections.get(connection.number) is connection
