"""Sessions of a server that cost memory alone: each is its state, compressed, until its client knocks."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from sessionlayer.continuations.compression import compress, decompress
from sessionlayer.streams.events import Closed
from sessionlayer.streams.limits import SUSPEND_S
from sessionlayer.streams.openings import CONTROL, Opening, read_opening
from sessionlayer.streams.secrets import session_id
from sessionlayer.streams.state import SessionState

if TYPE_CHECKING:
    from sessionlayer.aio.session import StreamSession

Woken = Callable[["StreamSession"], None]
"""Called with a session that was frozen when its client is back, before anything happens in it."""

Over = Callable[[Closed], None]
"""Called if a session ends while it is frozen."""

STATE_MAX: Final = 2**31 - 1
"""Bytes of a session's state; the state is our own, so that this only has to be a number."""

_encoder: Final = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Frozen:
    """One session at rest.

    Attributes:
        contents: its state, compressed.
        key: its key, to see whether an opening is authentic without unpacking.
        peer_key: its client's.
        since: when its client was heard last, in the loop's seconds.
        woken: called when its client is back.
        over: called if it ends instead.
    """

    contents: bytes
    key: bytes
    peer_key: bytes
    since: float
    woken: Woken
    over: Over


class FrozenSessions:
    """The sessions of a server that are frozen, by their names. None can be taken out twice.

    Args:
        expire_s: seconds without the client after which a session is over, those at rest included.
    """

    def __init__(self, expire_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._expire_s = expire_s
        self._timer: asyncio.TimerHandle | None = None
        self._sessions: dict[bytes, Frozen] = {}
        self._due: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: bytes) -> bool:
        return session in self._sessions

    def of_key(self, peer_key: bytes) -> Iterator[tuple[bytes, Frozen]]:
        """Yield names and sessions of one client's key."""
        return ((name, kept) for name, kept in self._sessions.items() if kept.peer_key == peer_key)

    def knows(self, session: bytes, peer_key: bytes) -> bool:
        """Return whether this client has a frozen session of that name."""
        kept = self._sessions.get(session)
        return kept is not None and kept.peer_key == peer_key

    def put(self, state: SessionState, woken: Woken, over: Over) -> None:
        """Keep a session. It counts as suspended, however recently its client was heard."""
        name = session_id(state.key)
        since = self._loop.time() - max(state.suspended_s, SUSPEND_S)
        # The compressor cuts a large block short, whose rest nobody can use: a copy takes what it needs.
        contents = bytes(memoryview(compress(_encoder.encode(state))))
        self._sessions[name] = Frozen(contents, state.key, state.peer_key, since, woken, over)
        self._note(since + self._expire_s, name)

    def take(self, opening: Opening) -> tuple[SessionState, Woken] | None:
        """Take out the session for which an opening is meant, if its client has made it, and just now.

        Raises:
            RemoteProtocolError: the opening is not authentic.
        """
        kept = self._sessions.get(opening.session)
        if kept is None:
            return None
        read_opening(kept.key, opening)
        state = _unpacked(kept, self._loop.time())
        if opening.generation <= _newest(state, opening.connection):
            return None  # recorded by somebody; or a new connection, which the control transport precedes
        del self._sessions[opening.session]
        return state, kept.woken

    def drop(self, session: bytes, closed: Closed) -> None:
        """End a frozen session, if there is one of that name."""
        kept = self._sessions.pop(session, None)
        if kept is not None:
            kept.over(closed)

    def displace(self, session: bytes) -> None:
        """End a frozen session, so that its client may have another one."""
        self.drop(session, Closed("aborted", "another session of its client has taken its place"))

    def close(self) -> None:
        """End all."""
        for name in tuple(self._sessions):
            self.drop(name, Closed("aborted", "it was aborted"))
        if self._timer:
            self._timer.cancel()

    def _note(self, due: float, name: bytes) -> None:
        if len(self._due) >= 2 * len(self._sessions) + 64:  # mostly of sessions that have come and gone
            self._due = [(kept.since + self._expire_s, found) for found, kept in self._sessions.items()]
            heapq.heapify(self._due)
        heapq.heappush(self._due, (due, name))
        self._set_timer()

    def _set_timer(self) -> None:
        if not self._due or (self._timer and self._timer.when() <= self._due[0][0]):
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due[0][0], self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._due and self._due[0][0] <= now:
            _, name = heapq.heappop(self._due)
            kept = self._sessions.get(name)
            if kept is not None and kept.since + self._expire_s <= now:
                reason = f"the peer could not be reached for {now - kept.since:.0f} s"
                self.drop(name, Closed("expired", reason))
        self._set_timer()


def _unpacked(kept: Frozen, now: float) -> SessionState:
    contents = decompress(kept.contents, STATE_MAX, "a frozen session")
    state = msgspec.msgpack.decode(contents, type=SessionState)
    return replace(state, suspended_s=now - kept.since)


def _newest(state: SessionState, connection: int) -> float:
    """Return the newest generation that is known; without end for a connection that is not."""
    if connection == CONTROL:
        return state.generation
    found = (kept.generation for kept in state.connections if kept.number == connection)
    return next(found, inf)
