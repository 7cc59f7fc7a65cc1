"""Keep connections from being given up by this host's kernel while the peer's whole host is away.

Silence of the peer's daemon alone means nothing for a connection. One that has been retransmitting in vain
for a good part of the time that the kernel grants is frozen, just before it would die: that can't make
matters worse. The peer's next handoff brings it back. A session whose program has a handler is frozen as soon
as it retransmits in vain, or does not answer where it is idle: the program wants to know.

Source: docs/design.md, "When a peer is silent"; ip-sysctl, ``tcp_retries2``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from migrated import hands
from migrated.core import Core
from migrated.kernel.errors import RebindError
from migrated.kernel.holders import borrowed
from migrated.kernel.rebind import Connection, probe_connection
from migrated.kernel.tcp import tcp_info
from migrated.sessions import Condition, ManagedSession

UNHEARD_S: Final = 2.0
"""Seconds after which an idle connection to a silent peer is probed, if its program has a handler."""

PROBES: Final = 3
"""Probes in a row without an answer, one with each look at the connections, that mean a dead path."""

_RETRIES: Final = Path("/proc/sys/net/ipv4/tcp_retries2")
_SHORTEST_RTO_S: Final = 0.2
_LONGEST_RTO_S: Final = 120.0
_SHARE: Final = 0.5
"""The part of the kernel's patience after which a connection is frozen."""


def patience_s(retries: int) -> float:
    """Return for how many seconds the kernel retransmits at least before it gives a connection up.

    Args:
        retries: ``tcp_retries2``.
    """
    rto_s, total_s = _SHORTEST_RTO_S, 0.0
    for _ in range(retries + 1):
        total_s += rto_s
        rto_s = min(2 * rto_s, _LONGEST_RTO_S)
    return total_s


def park_the_distressed(core: Core) -> None:
    """Freeze live connections to silent peers that the kernel is about to give up."""
    of_silent = core.sessions.unheard()
    for session in of_silent:
        _tell_of_held(core, session)
    silent = [session for session in of_silent if not session.frozen]
    if not silent:
        return
    limit_s = _SHARE * patience_s(int(_RETRIES.read_text()))
    connections = hands.locate_all(silent)
    for session in silent:
        connection = hands.first(connections, session)
        if connection is None:
            continue
        try:
            reason = _distress(core, session, connection, limit_s)
            if reason:
                hands.park(session, connection)
                core.suspend(session, (reason,))
        except RebindError as error:
            core.tell_refused(session, str(error))


def _distress(core: Core, session: ManagedSession, connection: Connection, limit_s: float) -> str:
    """Return why a connection is to be frozen, or nothing; look for a sign of life of its peer's kernel."""
    state, now = session.socket, core.now()
    with borrowed(connection.holders[0]) as sock:
        info = tcp_info(sock)
    told = core.programs.wants(session)
    if info.retransmits:
        state.distressed_since = now if state.distressed_since is None else state.distressed_since
        late = told or now - state.distressed_since >= limit_s
        return "the peer is silent and its acknowledgements stay away" if late else ""
    state.distressed_since = None
    # One that waits for a mover to be in place must keep still.
    if not told or state.held is not None or info.unheard_s < UNHEARD_S:
        state.unanswered = 0
        return ""
    if state.unanswered >= PROBES:
        state.unanswered, state.distressed_since = 0, now
        return "the peer is silent and its kernel does not answer"
    probe_connection(connection)
    state.unanswered += 1
    return ""


def resume_the_heard(core: Core) -> None:
    """Ask for those connections to go on that were frozen for a silent peer which is heard again.

    Mostly the peer moved and asks itself; then there is nothing left to do here.
    """
    for session in core.sessions.unsettled():
        waiting = session.frozen and session.socket.distressed_since is not None and session.departing is None
        if waiting and session.is_heard:
            session.socket.distressed_since = None
            core.engine.session_suspended(session.name, core.now())


def _tell_of_held(core: Core, session: ManagedSession) -> None:
    """Call a connection suspended that waits, frozen, for a mover which is not heard any more."""
    if session.frozen and session.condition is not Condition.SUSPENDED:
        core.suspend(session, ("the peer was about to move and is silent",))
