"""The route on which the segments of frozen connections vanish.

Every segment that carries the mark of frozen sockets is routed to the loopback interface,
where nobody takes it. The rule and the route stay when the daemon stops: frozen
connections outlive it. Nothing else carries the mark.

Source: ip-rule(8); docs/design.md, "Frozen, then moved".
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from migrated.kernel.freeze import FROZEN_MARK

FROZEN_TABLE: Final = 0x4D6947
"""The number of the routing table, the first three letters of the mark."""

_RULE_PRIORITY: Final = 77
_SCOPE_HOST: Final = 254


async def prepare_frozen_route() -> None:
    """Put the rule and the routes in place, for both families; those that are there stay.

    Raises:
        PermissionError: CAP_NET_ADMIN is missing.
        OSError: the kernel refuses.
    """
    from pyroute2 import AsyncIPRoute

    async with AsyncIPRoute() as netlink:
        loopback = (await netlink.link_lookup(ifname="lo"))[0]
        await _set(netlink, "link", "set", index=loopback, state="up")
        for family in (socket.AF_INET, socket.AF_INET6):
            await _ensure(
                netlink,
                "route",
                family=family,
                dst="default",
                oif=loopback,
                table=FROZEN_TABLE,
                scope=_SCOPE_HOST,
            )
            await _ensure(
                netlink,
                "rule",
                family=family,
                fwmark=FROZEN_MARK,
                table=FROZEN_TABLE,
                priority=_RULE_PRIORITY,
            )


async def _ensure(netlink: Any, kind: str, **what: Any) -> None:  # noqa: ANN401 - pyroute2 is untyped
    """Add a route or a rule, unless it is there or the kernel is without its family."""
    try:
        await _set(netlink, kind, "add", **what)
    except OSError as error:
        no_family = (
            error.errno in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP) and what["family"] == socket.AF_INET6
        )
        if error.errno != errno.EEXIST and not no_family:
            raise


async def _set(netlink: Any, kind: str, verb: str, **what: Any) -> None:  # noqa: ANN401 - pyroute2 is untyped
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        await getattr(netlink, kind)(verb, **what)
    except NetlinkError as error:
        if error.code == errno.EPERM:
            raise PermissionError("setting the route of frozen connections needs CAP_NET_ADMIN") from error
        raise OSError(error.code, f"can't set the {kind} of frozen connections: {error}") from error
