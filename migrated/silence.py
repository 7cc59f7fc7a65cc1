"""Keep connections from being given up by this host's kernel while the peer's whole host is away.

Silence of the peer's daemon alone means nothing for a connection. One that has been retransmitting in vain
for a good part of the time that the kernel grants is frozen, just before it would die: that can't make
matters worse. The peer's next handoff brings it back. A session whose program has a handler is frozen as soon
as it retransmits in vain: the program wants to know.

Source: docs/design.md, "When a peer is silent"; ip-sysctl, ``tcp_retries2``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from migrated import hands
from migrated.core import Core
from migrated.kernel.errors import RebindError
from migrated.kernel.holders import borrowed
from migrated.kernel.tcp import tcp_info
from migrated.sessions import Condition, ManagedSession

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
    now = core.now()
    # After a restart a peer that has not been heard yet may be as far away as a silent one.
    of_silent = [s for s in core.sessions if s.peer is None or s.peer.silent]
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
            with borrowed(connection.holders[0]) as sock:
                in_vain = tcp_info(sock).retransmits > 0
            if not in_vain:
                session.socket.distressed_since = None
                continue
            if session.socket.distressed_since is None:
                session.socket.distressed_since = now
            if core.programs.wants(session) or now - session.socket.distressed_since >= limit_s:
                hands.park(session, connection)
                core.suspend(session, ("the peer is silent and its acknowledgements stay away",))
        except RebindError as error:
            core.journal.tell("refused", owner=session.uid, session=session.short, reason=str(error))


def resume_the_heard(core: Core) -> None:
    """Ask for those connections to go on that were frozen for a silent peer which is heard again.

    Mostly the peer moved and asks itself; then there is nothing left to do here.
    """
    for session in core.sessions:
        waiting = session.frozen and session.socket.distressed_since is not None and session.departing is None
        if waiting and session.peer is not None and not session.peer.silent:
            session.socket.distressed_since = None
            core.engine.session_suspended(session.name, core.now())


def _tell_of_held(core: Core, session: ManagedSession) -> None:
    """Call a connection suspended that waits, frozen, for a mover which is not heard any more."""
    if session.frozen and session.condition is not Condition.SUSPENDED:
        core.suspend(session, ("the peer was about to move and is silent",))
