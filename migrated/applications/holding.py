"""Sessions that programs have given up: their continuations on disk, and what stays open meanwhile."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from migrated.applications.client import Client
from migrated.applications.wire import Descriptors
from migrated.continuations.store import StoredContinuation
from migrated.resources import Owner
from sessionlayer.continuations.values import Continuation, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What a program has returned, before it is the daemon's.

    Attributes:
        session_id: 16 bytes.
        uid: whose session it is.
        pid: of the program.
        program: under which name others may take it up.
        client: the program.
        continuation: as it was read.
        content: as it was returned.
        descriptors: those of the continuation; whoever has the parcel closes them.
        expires_at: seconds since the epoch, or ``None`` for never.
    """

    session_id: bytes
    uid: int
    pid: int
    program: str
    client: Client | None
    continuation: Continuation
    content: bytes
    descriptors: Descriptors
    expires_at: float | None

    @property
    def owner(self) -> Owner:
        """Return with whose rights files are opened again."""
        process = self.continuation.process
        return owner_of(self.uid, None if process is None else process.egid)

    def stored(self, resources: bytes) -> StoredContinuation:
        """Return how it goes on disk now.

        Args:
            resources: what its descriptors need.
        """
        return StoredContinuation(
            session_id=self.session_id,
            uid=self.uid,
            program=self.program,
            kind=self.continuation.kind,
            stored_at=time.time(),
            expires_at=self.expires_at,
            content=self.content,
            resources=resources,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the disk knows of a session; ``resources`` is what its descriptors need."""

    parcel: Parcel
    resources: bytes


@dataclass(eq=False, slots=True, kw_only=True)
class Holding:
    """The daemon's side of one session that was given up.

    A holding is at rest while only the disk and ``kept`` know the session's descriptors. It is made again,
    frozen, when the session is about to go on, and put to rest again where that comes to nothing.

    Attributes:
        session_id: 16 bytes.
        uid: whose it is.
        kind: what is needed to go on.
        program: under which name others may take it up.
        make: makes its descriptors again; see `Released.remake`.
        pid: of the program that returned it; 0 after a restart of the daemon.
        client: that program, while it speaks to us.
        kept: what must stay open while it is at rest.
        made: once it is made again: its descriptors but for the connection, which is the session's.
        loaded: what was read from the disk to make it again.
        whole: whether it is made again.
        linger: what its program had set of ``SO_LINGER``, while the connection is made again.
        made_at: when that was, or when a program was given it in vain; monotonic seconds.
        attempts: how often a process was started in vain.
        failure: why it could not be made again at the last attempt.
        told: who was told last why it waits although a link is there, and what.
    """

    session_id: bytes
    uid: int
    kind: Kind
    program: str
    make: Callable[[Holding], bool]
    pid: int = 0
    client: Client | None = None
    kept: Descriptors = field(default_factory=Descriptors)
    made: Descriptors = field(default_factory=Descriptors)
    loaded: Loaded | None = None
    whole: bool = False
    linger: bytes = b""
    made_at: float = 0.0
    attempts: int = 0
    failure: str = ""
    told: tuple[Client, str] | None = None

    def remake(self) -> bool:
        """Make its descriptors again; see `Released`."""
        return self.make(self)

    def close(self) -> None:
        """Close what it has open."""
        self.kept.close()
        self.made.close()


@dataclass(slots=True)
class Holdings:
    """All holdings, by session."""

    _by_session: dict[bytes, Holding] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Holding]:
        return iter(tuple(self._by_session.values()))

    def add(self, holding: Holding) -> None:
        """Take one in, in place of another of the same session."""
        self._by_session[holding.session_id] = holding

    def of(self, session_id: bytes) -> Holding | None:
        """Return the holding of a session."""
        return self._by_session.get(session_id)

    def forget(self, session_id: bytes) -> Holding | None:
        """Forget a session, whose program has it again or which has ended; return what there was."""
        return self._by_session.pop(session_id, None)


def owner_of(uid: int, gid: int | None = None) -> Owner:
    """Return a user with a group; by default the user's own, or none of anybody's."""
    if gid is None:
        try:
            gid = pwd.getpwuid(uid).pw_gid
        except KeyError:
            gid = uid
    return Owner(uid=uid, gid=gid)


def socket_in(numbers: Iterable[int], inode: int) -> int | None:
    """Return which descriptor of ours is this socket; it is asked in a way that waits for no file system."""
    links = ((number, os.readlink(f"/proc/self/fd/{number}")) for number in numbers)  # noqa: PTH115
    return next((number for number, link in links if link == f"socket:[{inode}]"), None)
