"""What the kernel's routing tables say: where default routes lead out, and whether a link leads to a peer.

Two traps:

* For IPv4 the kernel answers the question "how is this address reached through that link" even where no route
  says so: it takes every address for a neighbour on the link. Only asked for the entry of the table that
  answers (``RTM_F_FIB_MATCH``) it admits that there is none.
* The routes of a link that is switched off vanish without a word for IPv4, so news of links counts, too.

pyroute2 takes 40 µs for each route, and a burst has thousands of which a few bytes each are needed: 1 µs.

Source: rtnetlink(7); ``inet_rtm_getroute`` in ``net/ipv4/route.c``; ``fib_sync_down_dev`` in
``net/ipv4/fib_semantics.c``.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from monitors import nlmsg

_DELETE_LINK: Final = 17  # RTM_DELLINK
_NEW_ROUTE: Final = 24
_GET_ROUTE: Final = 26
_MAIN_TABLE: Final = 254
_UNICAST: Final = 1  # RTN_UNICAST; others lead nowhere, to this host, or to everybody
_DEAD: Final = 1  # RTNH_F_DEAD
_FIB_MATCH: Final = 0x2000  # RTM_F_FIB_MATCH
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_MULTIPATH = 1, 2, 4, 9

# struct rtmsg: family, prefix lengths, type of service, table, protocol, scope, type; flags
_ROUTE: Final = struct.Struct("=8BI")
_HOP: Final = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops, interface
_INDEX: Final = struct.Struct("=i")
_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg

_LINKS: Final = 0x1  # RTMGRP_LINK
_ROUTES: Final = 0x40 | 0x400  # RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE
_RULES: Final = 0x80 | 1 << 18  # RTMGRP_IPV4_RULE, RTNLGRP_IPV6_RULE
_NEXT_HOPS: Final = 1 << 31  # RTNLGRP_NEXTHOP

_DRAIN_MAX: Final = 1024
"""Datagrams that are taken at once; a socket's receive buffer holds fewer."""

_NO_ROUTE: Final = frozenset(
    # What a table's `unreachable`, `prohibit`, `blackhole` and `throw` answer, and what no answer at all is.
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.EAGAIN, errno.ENODEV}
)


class RoutingTables:
    """The routing tables of this network namespace, and whether anything has changed about them; not what.

    The receive buffer for news is as small as the kernel makes it, and nothing is read while nobody waits: a
    burst of news overruns it, which says as much as all of the burst and costs nothing. A plain socket stays
    usable after that. ``overruns`` counts how often it happened.

    Raises:
        OSError: the kernel refuses to tell of changes.
    """

    def __init__(self) -> None:
        kinds = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._news = socket.socket(socket.AF_NETLINK, kinds, socket.NETLINK_ROUTE)
        try:
            self._news.bind((0, _LINKS | _ROUTES | _RULES | _NEXT_HOPS))
        except OSError:
            self._news.close()
            raise
        self._gone: set[int] = set()
        self._lost = False
        self.overruns = 0

    def close(self) -> None:
        """Hear no more news."""
        self._news.close()

    async def wait(self) -> None:
        """Wait until routes, rules or links change.

        Raises:
            OSError: the socket fails.
        """
        try:
            self._take(await asyncio.get_running_loop().sock_recv(self._news, nlmsg.ROOM))
        except OSError as error:
            self._overrun(error)

    def gone(self) -> frozenset[int] | None:
        """Take in all news, and return the indexes of links that were deleted; ``None`` if some were missed.

        Raises:
            OSError: the socket fails.
        """
        self._drain()
        gone = None if self._lost else frozenset(self._gone)
        self._gone, self._lost = set(), False
        return gone

    def link_names(self) -> dict[int, str]:
        """Return the names of all links by their index, but for those whose names can't be shown."""
        return {index: name for index, name in socket.if_nameindex() if name.isprintable()}

    def default_links(self) -> Iterator[set[int]]:
        """Yield the indexes of links by which default routes of the main table lead out, some at a time.

        Raises:
            OSError: the kernel refuses.
        """
        for family in (socket.AF_INET, socket.AF_INET6):
            request = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            for datagram, messages in nlmsg.dump(socket.NETLINK_ROUTE, _GET_ROUTE, request):
                yield {
                    index
                    for kind, start, end in messages
                    if kind == _NEW_ROUTE and _is_default(datagram, start)
                    for index in _links_of(datagram, start, end)
                }

    def leads_to(self, peer: str, index: int, local: str) -> bool:
        """Return whether a route leads to a peer through a link, for a socket that is bound to that link.

        Args:
            peer: its address, in canonical text form.
            index: the link's.
            local: the socket's own address: a rule may ask where packets come from.

        Raises:
            OSError: the kernel refuses to say.
            ValueError: an address is none.
        """
        if _leads(peer, index, local):
            return True
        # With a local address IPv6 prefers other links to none, and would not say so of a bound socket.
        return ip_address(peer).version == 6 and _leads(peer, index, None)

    def _drain(self) -> None:
        for _ in range(_DRAIN_MAX):
            try:
                self._take(self._news.recv(nlmsg.ROOM))
            except BlockingIOError:
                return
            except OSError as error:
                self._overrun(error)

    def _take(self, datagram: bytes) -> None:
        for kind, start, _ in nlmsg.messages(datagram):
            if kind == _DELETE_LINK:
                self._gone.add(_LINK.unpack_from(datagram, start)[2])

    def _overrun(self, error: OSError) -> None:
        if error.errno != errno.ENOBUFS:
            raise error
        self._lost = True
        self.overruns += 1


def _leads(peer: str, index: int, local: str | None) -> bool:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(nlmsg.question(_GET_ROUTE, _lookup(peer, index, local)))
        datagram = netlink.recv(nlmsg.ROOM)
    try:
        ((_, start, end),) = nlmsg.messages(datagram)
    except OSError as error:
        if error.errno not in _NO_ROUTE:
            raise
        return False
    return _kind(datagram, start) == _UNICAST and index in _links_of(datagram, start, end)


def _lookup(peer: str, index: int, local: str | None) -> bytes:
    there = ip_address(peer)
    family = socket.AF_INET if there.version == 4 else socket.AF_INET6
    bits = there.max_prefixlen
    body = _ROUTE.pack(family, bits, bits if local else 0, 0, 0, 0, 0, 0, _FIB_MATCH)
    body += nlmsg.attribute(_RTA_DST, there.packed) + nlmsg.attribute(_RTA_OIF, _INDEX.pack(index))
    return body + (nlmsg.attribute(_RTA_SRC, ip_address(local).packed) if local else b"")


def _is_default(datagram: bytes, start: int) -> bool:
    _, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(datagram, start)
    return bool(length == 0 and table == _MAIN_TABLE and kind == _UNICAST)


def _kind(datagram: bytes, start: int) -> int:
    return int(_ROUTE.unpack_from(datagram, start)[7])


def _links_of(datagram: bytes, start: int, end: int) -> Iterator[int]:
    """Yield the links by which a route leads out, without those that are switched off."""
    flags = _ROUTE.unpack_from(datagram, start)[8]
    for kind, begin, stop in nlmsg.attributes(datagram, start + _ROUTE.size, end):
        if kind == _RTA_OIF and not flags & _DEAD:
            yield _INDEX.unpack_from(datagram, begin)[0]
        elif kind == _RTA_MULTIPATH:
            yield from _hops(datagram, begin, stop)


def _hops(datagram: bytes, start: int, end: int) -> Iterator[int]:
    while start + _HOP.size <= end:
        length, flags, _, index = _HOP.unpack_from(datagram, start)
        if not flags & _DEAD:
            yield index
        start += nlmsg.aligned(max(length, _HOP.size))
