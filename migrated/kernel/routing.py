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
        await netlink.link("set", index=loopback, state="up")
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
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        await getattr(netlink, kind)("add", **what)
    except NetlinkError as error:
        missing_family = what["family"] == socket.AF_INET6 and error.code in (
            errno.EAFNOSUPPORT,
            errno.EOPNOTSUPP,
        )
        if error.code == errno.EPERM:
            raise PermissionError("setting the route of frozen connections needs CAP_NET_ADMIN") from error
        if error.code != errno.EEXIST and not missing_family:
            raise OSError(error.code, f"can't set the {kind} of frozen connections: {error}") from error
