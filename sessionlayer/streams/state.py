"""A session as it is kept while nobody runs it: everything that is needed to go on."""

from __future__ import annotations

from msgspec import Struct


class ConnectionState(Struct, frozen=True, kw_only=True):
    """One connection at rest.

    Attributes:
        number: its number in the session.
        purpose: what it was opened for.
        sealed: whether records are above it.
        generation: of its newest transport.
        open: whether the server had admitted it.
        acknowledged: offset of the first byte in ``contents``.
        contents: what the peer has not acknowledged (as it travels).
        end: where our stream ends, if that is settled; ``end_acknowledged`` if the peer knows.
        received: offset up to which we have everything.
        peer_end: where the peer's stream ends, if it has said so; ``ended`` if its end was handed out.
        closing: whether the program has closed it, so that only the peer waits for something.
        unread: bytes received (and opened) that the program has not read.
        records_sent: number of the next record to make, ``records_received`` to open, if sealed.
        partial_record: the first bytes of that one.
        reset: why the connection was given up, which the peer does not know yet.
    """

    number: int
    purpose: bytes
    sealed: bool
    generation: int
    open: bool
    acknowledged: int
    contents: bytes
    received: int
    end: int | None = None
    end_acknowledged: bool = False
    peer_end: int | None = None
    ended: bool = False
    closing: bool = False
    unread: bytes = b""
    records_sent: int = 0
    records_received: int = 0
    partial_record: bytes = b""
    reset: str | None = None


class SessionState(Struct, frozen=True, kw_only=True):
    """One session at rest. It holds the key: keep it with mode 0600, and restore it once only.

    Attributes:
        client: whether we are the side that connects.
        key: the session's 32-byte key.
        peer_key: the peer's public key, 32 bytes.
        host: where the client connects to, or where the server's peer was seen last; with ``port``.
        generation: of the newest control transport.
        suspended_s: seconds for which the peer has not been heard.
        next_number: the client's number for its next connection.
        seen: numbers that the server has seen, as bits below and including ``newest_seen``.
        connections: those that are not over.
        exported: what the peer's program is to know.
    """

    client: bool
    key: bytes
    peer_key: bytes
    host: str
    port: int
    generation: int
    suspended_s: float
    next_number: int
    newest_seen: int
    seen: bytes
    connections: tuple[ConnectionState, ...]
    exported: dict[str, bytes] = {}
