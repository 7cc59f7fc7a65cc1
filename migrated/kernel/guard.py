"""Keep this host's kernel from answering for a connection that has left.

Segments that meet no socket are answered with a reset, and a peer that has not followed yet would take it
for the end. A listener on the old place that hears nothing takes the segments instead.
"""

from __future__ import annotations

import socket

from migrated.kernel import options
from migrated.kernel.endpoint import EndPoint, socket_address
from migrated.kernel.freeze import attach_drop_filter
from migrated.kernel.repair import set_repair


def guard_place(place: EndPoint) -> socket.socket:
    """Swallow what arrives for ``place`` and meets no connection, until the result is closed.

    The address may be gone: it may also come back before the peer has followed.

    Raises:
        OSError: it can't be done.
    """
    guard = socket.socket(socket.AF_INET6 if ":" in place.address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        attach_drop_filter(guard)
        guard.setsockopt(*_freebind(guard), 1)
        # In repair mode, which it never leaves, it can share the port with the connection that leaves.
        set_repair(guard, options.REPAIR_ON)
        guard.bind(socket_address(guard, place))
        guard.listen(0)
    except OSError:
        guard.close()
        raise
    return guard


def _freebind(sock: socket.socket) -> tuple[int, int]:
    if sock.family == socket.AF_INET6:
        return socket.IPPROTO_IPV6, options.IPV6_FREEBIND
    return socket.IPPROTO_IP, options.IP_FREEBIND
