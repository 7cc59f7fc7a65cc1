"""A router: a host that forwards, and translates addresses if it is told to.

Source: RFC 4787 and RFC 5382 (what a NAT should do; this one is stricter than they recommend), nft(8).
"""

from __future__ import annotations

from migrated.lab.errors import LabError, require
from migrated.lab.host import Host
from migrated.lab.namespace import Namespace

_TABLE = "inet lab_nat"
_STRICT_NAT = """
table inet lab_nat {{
    chain forward {{
        type filter hook forward priority filter; policy accept;
        ct state invalid drop
        meta l4proto tcp ct state new tcp flags & (fin | syn | rst | ack) != syn drop
        iifname "{outside}" ct state new drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "{outside}" masquerade fully-random
    }}
}}
"""


class Router(Host):
    """A host that forwards IPv4 and IPv6. ``Lab.router`` makes it."""

    def __init__(self, name: str, namespace: Namespace) -> None:
        super().__init__(name, namespace)
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def strict_nat(self, outside: str) -> None:
        """Hide everything behind the address of one interface, as an unfriendly home router does.

        Ports are random. Dropped are: TCP segments of connections whose opening the router has not
        seen, segments outside the window, and all that comes from outside unasked.

        Args:
            outside: the interface that faces the others.

        Raises:
            LabError: `nft` is missing, or translation is on already, or the kernel refuses it.
        """
        if self._nft("list", "table", *_TABLE.split())[0] == 0:
            raise LabError(f"router `{self.name}`: address translation is on already")
        status, complaint = self._nft("-f", "-", script=_STRICT_NAT.format(outside=outside))
        if status != 0:
            raise LabError(f"router `{self.name}`: `nft` refused: {complaint}")

    def plain_routing(self) -> None:
        """End the address translation.

        Raises:
            LabError: `nft` is missing, or there is no translation.
        """
        status, complaint = self._nft("delete", "table", *_TABLE.split())
        if status != 0:
            raise LabError(f"router `{self.name}`: no address translation to end: {complaint}")

    def _nft(self, *arguments: str, script: str = "") -> tuple[int, str]:
        done = self.run([require("nft"), *arguments], input=script)
        return done.returncode, done.stderr.strip()
