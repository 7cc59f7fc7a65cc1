"""For how long the kernel leaves a peer alone that has closed its window.

An end that is in place before its peer must keep still until it hears it. A closed send window keeps it
still until the first window probe, which is due after one retransmission time-out. That is seconds for a
new connection, but only a fifth of one where the kernel remembers the round trip from an earlier
connection between the same two addresses.

Source: ``tcp_init_metrics`` in ``net/ipv4/tcp_metrics.c``; ``tcp_check_probe_timer`` in ``tcp.h``.
"""

from __future__ import annotations

import socket
from typing import Final

from migrated.kernel import tcp

_SHARE: Final = 0.7
"""The part of the time-out that is taken for granted: timers of ours are late at times."""


def quiet_s(sock: socket.socket) -> float:
    """Return for how many seconds a connection that was just restored keeps still for sure.

    Raises:
        OSError: the socket is not TCP.
    """
    return _SHARE * tcp.tcp_info(sock).rto_s
