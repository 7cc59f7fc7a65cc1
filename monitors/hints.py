"""Netlink news as mere hints that it is time to look: nothing in them is believed.

Looking again is harmless, so a lost message (ENOBUFS), one that is cut off or one that was made up costs no
more than a look.

Source: netlink(7).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable

DATAGRAM_MAX = 1 << 15
"""Bytes read of each message; of longer ones the rest is of no interest."""

DRAIN_MAX = 1024
"""How many messages that wait are passed over at once before looking."""

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1


def subscribe(protocol: int, groups: Iterable[int]) -> socket.socket:
    """Return a non-blocking socket that hears the kernel's multicast groups.

    Args:
        protocol: the netlink family, such as ``NETLINK_GENERIC``.
        groups: the groups' numbers, from 1.

    Raises:
        OSError: the kernel lacks the family or one of the groups, or refuses.
    """
    flags = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    news = socket.socket(socket.AF_NETLINK, flags, protocol)
    try:
        news.bind((0, 0))
        for group in groups:
            news.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        news.close()
        raise
    return news


async def await_hint(news: socket.socket | None, is_hint: Callable[[bytes], bool], wait_s: float) -> bool:
    """Wait for a hint for at most ``wait_s`` seconds, and return whether there was one.

    Args:
        news: a non-blocking socket, or ``None`` where there is no news to be had.
        is_hint: judges a message by its first ``DATAGRAM_MAX`` bytes.
        wait_s: seconds.

    Raises:
        OSError: the socket is broken.
    """
    if news is None:
        await asyncio.sleep(wait_s)
        return False
    try:
        async with asyncio.timeout(wait_s):
            await _hinted(news, is_hint)
    except TimeoutError:
        return False
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
    _drain(news)
    return True


async def _hinted(news: socket.socket, is_hint: Callable[[bytes], bool]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        if is_hint(await loop.sock_recv(news, DATAGRAM_MAX)):
            return
        await asyncio.sleep(0)  # while messages wait, reading them does not give way by itself


def _drain(news: socket.socket) -> None:
    """Pass over what waits: it happened before the look that comes now."""
    for _ in range(DRAIN_MAX):
        try:
            news.recv(1)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
