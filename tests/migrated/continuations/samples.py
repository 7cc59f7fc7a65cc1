"""Stored continuations for tests."""

from __future__ import annotations

from migrated.continuations.store import StoredContinuation
from sessionlayer.continuations.codec import encode
from sessionlayer.continuations.values import CONNECTION, Continuation, Kind
from sessionlayer.protocol.keys import HostKey

HOST_KEY = HostKey.from_private(bytes(range(32)))
UID = 2_000_000_001


def content(version: int = 0, size: int = 0) -> bytes:
    """Return an encoded continuation that says which version it is of."""
    attributes = {"version": str(version).encode(), "filler": bytes(size)}
    return encode(Continuation(descriptors=(CONNECTION,), attributes=attributes, function="go_on"))


def stored(
    number: int,
    *,
    version: int = 0,
    uid: int = UID,
    expires_at: float | None = None,
    resources: bytes = b"tcp",
) -> StoredContinuation:
    return StoredContinuation(
        session_id=number.to_bytes(16, "big"),
        uid=uid,
        program="counter",
        kind=Kind.INTERNAL,
        stored_at=1.5e9,
        expires_at=expires_at,
        content=content(version),
        resources=resources,
    )
