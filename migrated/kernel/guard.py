"""Keep this host's kernel from answering for a connection that has left.

Segments that meet no socket are answered with a reset, and a peer that has not followed yet would take it
for the end. A listener on the old place that hears nothing takes the segments instead.
"""

from __future__ import annotations

import errno
import socket

from migrated.kernel import options
from migrated.kernel.endpoint import EndPoint, socket_address
from migrated.kernel.freeze import attach_drop_filter
from migrated.kernel.repair import set_repair


def guard_place(place: EndPoint) -> socket.socket | None:
    """Swallow what arrives for ``place`` and meets no connection, until the result is closed.

    Returns:
        The guard, or ``None`` where the address is gone, so that nothing can arrive.

    Raises:
        OSError: another reason why it can't be done.
    """
    guard = socket.socket(socket.AF_INET6 if ":" in place.address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        attach_drop_filter(guard)
        # In repair mode, which it never leaves, it can share the port with the connection that leaves.
        set_repair(guard, options.REPAIR_ON)
        guard.bind(socket_address(guard, place))
        guard.listen(0)
    except OSError as error:
        guard.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return guard
