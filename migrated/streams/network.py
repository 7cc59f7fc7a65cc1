"""Hear when the network of this host changes, so that a suspended session tries again at once.

Any user may listen to these messages. What they say does not matter: whoever is suspended just tries again.

Source: rtnetlink(7), netlink(7).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SETTLE_S: Final = 0.01
"""Seconds after a message until it is acted on: an address comes before the routes that make it useful."""

_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Changes of links, addresses (IPv4, IPv6) and routes (likewise). Source: linux/rtnetlink.h, ``RTMGRP_``."""

_READ_BYTES: Final = 65536


@contextmanager
def network_changes(changed: Callable[[], None]) -> Iterator[None]:
    """Call a function of the running loop's whenever the network has changed, while the block lasts.

    Where the kernel does not tell, nothing is called: it is a hint, nobody depends on it.
    """
    loop = asyncio.get_running_loop()
    pending: list[asyncio.TimerHandle] = []

    def settled() -> None:
        pending.clear()
        changed()

    def heard() -> None:
        _drain(listener)
        if not pending:
            pending.append(loop.call_later(SETTLE_S, settled))

    try:
        listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError:
        yield
        return
    with listener:
        listener.setblocking(False)
        listener.bind((0, _GROUPS))
        loop.add_reader(listener, heard)
        try:
            yield
        finally:
            loop.remove_reader(listener)
            for handle in pending:
                handle.cancel()


def _drain(listener: socket.socket) -> None:
    """Take all messages; that some were lost (ENOBUFS) is a message too."""
    try:
        while listener.recv(_READ_BYTES):
            pass
    except OSError:
        return
