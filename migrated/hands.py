"""The daemon's hands: kernel work on sessions, one method for each thing that protocol and engine ask for.

Nothing here decides anything. Every method does its work at once, which takes about a millisecond for
each session, and says what came of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping

from migrated.kernel.census import Census
from migrated.kernel.endpoint import EndPoint
from migrated.kernel.errors import RebindError, SocketGoneError
from migrated.kernel.holders import Holder, duplicate
from migrated.kernel.rebind import (
    Connection,
    Rebound,
    Target,
    freeze_connection,
    open_window,
    park_connection,
    rebind_connection,
    thaw_connection,
)
from migrated.sessions import Departing, ManagedSession
from sessionlayer.protocol.values import Arrival, Departure, Rebinding, Role

_census = Census()


def keep_count(sessions: Iterable[ManagedSession], now: float, *, changed: bool) -> None:
    """Know the holders of these sessions' sockets in advance; call it when nothing is urgent.

    Args:
        sessions: all that there are.
        now: a monotonic time in seconds.
        changed: whether they may be others than at the last call.
    """
    if changed or _census.is_old(now):
        _census.keep([s.socket.inode for s in sessions if _held_by_programs(s)], now)


def locate_all(sessions: Collection[ManagedSession]) -> Mapping[int, Connection]:
    """Find the holders of all these sessions' sockets in one pass; those that nobody holds are left out.

    Sockets that were released are made again, frozen where they were.
    """
    for session in sessions:
        if session.socket.released is not None:
            session.socket.released.remake()
    found = _census.find([s.socket.inode for s in sessions if _held_by_programs(s)])
    ours = {
        s.socket.inode: (_keeper(s),)
        for s in sessions
        if s.socket.kept is not None and s.socket.inode not in found
    }
    return {
        inode: Connection(inode=inode, holders=holders) for inode, holders in (ours | dict(found)).items()
    }


def reach_all(sessions: Collection[ManagedSession]) -> Mapping[int, Connection]:
    """Find a holder of each of these sessions' sockets, for what stops no program: we will do ourselves."""
    kept = {
        s.socket.inode: Connection(inode=s.socket.inode, holders=(_keeper(s),))
        for s in sessions
        if s.socket.kept is not None
    }
    others = [s for s in sessions if s.socket.inode not in kept]
    return kept | dict(locate_all(others)) if others else kept


def depart(session: ManagedSession, connection: Connection | None, departing: Departing) -> Departure:
    """Freeze a session that is to move, with a port reserved where it goes unless it keeps its own.

    Raises:
        RebindError: it can't be done; the connection is as it was, or frozen.
    """
    held = _present(session, connection)
    here = session.record().connection
    if here.role is Role.SERVER and here.local_address == departing.to.address:
        # A server's end keeps its port where it can: firewalls know it, and its socket may be locked to it.
        departing.port = here.local_port
    else:
        _reserve(session, departing)
    try:
        frozen = freeze_connection(held, session.socket.own if session.socket.frozen else None)
    except RebindError:
        if not session.frozen:  # the peer was asked for nothing
            session.places.free()
        raise
    session.socket.own = frozen.own
    session.socket.frozen = True
    keep(session, held)
    departing.frozen = frozen
    return Departure(
        session_id=session.session_id,
        address=departing.to.address,
        port=departing.port,
        received=frozen.received,
        sent=frozen.sent,
        in_place=False,
    )


def _reserve(session: ManagedSession, departing: Departing) -> None:
    try:
        departing.port = session.places.reserve(departing.to.address)
    except OSError as error:
        raise RebindError(f"no port can be had on {departing.to.address}: {error.strerror}") from error


def arrive(session: ManagedSession, connection: Connection | None, arrival: Arrival) -> Rebound:
    """Finish a session's own move; the peer is in place.

    Raises:
        RebindError: it can't be done; the connection is frozen where it was.
    """
    departing = session.departing
    assert departing is not None
    remote = EndPoint(address=arrival.address, port=arrival.port)
    target = Target(
        local=EndPoint(address=departing.to.address, port=departing.port),
        device=departing.to.interface,
        remote=remote,
        peer_received=arrival.received,
        first_in_place=False,
    )
    return _rebind(session, connection, target, departing)


def follow(
    session: ManagedSession, connection: Connection | None, entry: Rebinding, device: str | None
) -> Rebound:
    """Rebind a session whose peer has moved.

    Args:
        session: live or frozen.
        connection: its holders.
        entry: where the peer is, and whether it is in place.
        device: the interface of ``entry.wanted``, if we were about to move ourselves.

    Raises:
        RebindError: it can't be done; the connection is as it was.
    """
    here = session.record().connection.local_address
    # One that wanted to go on where it is stays there, with its port.
    wanted = entry.wanted if entry.wanted is not None and entry.wanted[0] != here else None
    target = Target(
        local=EndPoint(address=wanted[0], port=wanted[1]) if wanted else None,
        device=device if wanted else None,
        remote=EndPoint(address=entry.address, port=entry.port),
        peer_received=entry.received,
        first_in_place=not entry.in_place,
    )
    rebound = _rebind(session, connection, target, session.departing)
    session.socket.held = None if entry.in_place else entry
    return rebound


def hold_again(session: ManagedSession, connection: Connection | None) -> None:
    """Restore a held session that was frozen as it was right after `follow`: silent, with fresh timers.

    Raises:
        RebindError: it can't be done; the connection is frozen.
    """
    entry = session.socket.held
    if entry is None:
        raise RebindError("the session is not held")
    numbers = freeze_connection(_present(session, connection), session.socket.own)
    if not numbers.nothing_in_flight:
        # Only a mover that was heard opens the window, so it is in place: nothing to keep still for.
        thaw(session, connection)
        return
    target = Target(
        local=None,
        device=None,
        remote=EndPoint(address=entry.address, port=entry.port),
        peer_received=numbers.acknowledged,
        first_in_place=True,
    )
    _rebind(session, connection, target)


def park(session: ManagedSession, connection: Connection | None) -> None:
    """Freeze a session without stopping its programs.

    Raises:
        RebindError: it can't be done.
    """
    if not session.socket.frozen:
        held = _present(session, connection)
        session.socket.own = park_connection(held)
        session.socket.frozen = True
        keep(session, held)


def thaw(session: ManagedSession, connection: Connection | None) -> None:
    """Let a frozen session go on where it is.

    Raises:
        RebindError: it can't be done.
    """
    if session.socket.frozen:
        thaw_connection(_present(session, connection), session.socket.own)
        session.socket.frozen = False
        session.socket.let_go()
        session.places.free()


def settle(session: ManagedSession, connection: Connection | None) -> None:
    """Take away what kept a held session silent: the peer is in place.

    Raises:
        RebindError: it can't be done.
    """
    sizing, session.socket.sizing, session.socket.held = session.socket.sizing, None, None
    if sizing is not None:
        open_window(_present(session, connection), sizing)


def keep(session: ManagedSession, connection: Connection) -> None:
    """Hold a frozen session's socket ourselves, so that its program may close it and lose nothing."""
    if session.socket.kept is None:
        with contextlib.suppress(RebindError):  # without it the program may lose what it wrote last
            session.socket.kept = duplicate(connection.holders[0])


def leave(session: ManagedSession) -> None:
    """Leave a session that is one no more to its programs, live, as if we had never been.

    A connection that no program holds ends with it.
    """
    state = session.socket
    if state.released is None and (state.frozen or state.sizing is not None):
        connection = locate_one(session)
        with contextlib.suppress(RebindError):  # it is gone, or its link is
            settle(session, connection)
            thaw(session, connection)
    state.entrusted = False
    state.let_go()
    session.places.free()


def _keeper(session: ManagedSession) -> Holder:
    """Return ourselves as the last holder of a socket that its program has closed."""
    assert session.socket.kept is not None
    return Holder(
        pid=os.getpid(), descriptor=session.socket.kept.fileno(), program=session.program, uses_io_uring=False
    )


def first(connections: Mapping[int, Connection], session: ManagedSession) -> Connection | None:
    """Return a session's holders, or ``None`` if nobody holds its socket."""
    return connections.get(session.socket.inode)


def locate_one(session: ManagedSession) -> Connection | None:
    """Find the holders of one session's socket."""
    return first(locate_all([session]), session)


def locate_entries(sessions: Iterable[ManagedSession | None]) -> Mapping[int, Connection]:
    """Find the holders of those sessions that are known."""
    return locate_all([session for session in sessions if session is not None])


def _held_by_programs(session: ManagedSession) -> bool:
    return session.socket.inode != 0 and not session.socket.entrusted


def _present(session: ManagedSession, connection: Connection | None) -> Connection:
    if connection is not None:
        return connection
    if session.socket.released is not None:
        raise RebindError(f"its socket can't be made again: {session.socket.released.failure}")
    raise SocketGoneError("no program holds the connection any more")


def _rebind(
    session: ManagedSession,
    connection: Connection | None,
    target: Target,
    departing: Departing | None = None,
) -> Rebound:
    held = _present(session, connection)
    reservation = session.places.of(departing.to.address) if departing else None
    rebound = rebind_connection(
        held, target, session.socket.own if session.socket.frozen else None, reservation
    )
    session.socket.own = rebound.own
    session.socket.frozen = False
    # One that was silent before has a narrowed window, which must not be taken for the kernel's own choice.
    sizing = session.socket.sizing or rebound.sizing
    session.socket.sizing = sizing
    if not target.first_in_place:
        settle(session, held)
    session.socket.let_go()
    session.places.free()
    return rebound
