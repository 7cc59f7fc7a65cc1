"""Hosts, links and routers made of network namespaces.

The programs ``migrated.lab.keeper`` and ``migrated.lab.delay`` are started by name and not imported here.
"""

from __future__ import annotations

from migrated.lab.errors import LabError
from migrated.lab.host import Host
from migrated.lab.lab import Lab
from migrated.lab.link import Cable, CableEnd
from migrated.lab.privilege import ensure_privileged, is_privileged
from migrated.lab.router import Router
from migrated.lab.topology import NAT_OUTSIDE, SERVER_V4, SERVER_V6, Access, TwoLinks, two_links

__all__ = [
    "NAT_OUTSIDE",
    "SERVER_V4",
    "SERVER_V6",
    "Access",
    "Cable",
    "CableEnd",
    "Host",
    "Lab",
    "LabError",
    "Router",
    "TwoLinks",
    "ensure_privileged",
    "is_privileged",
    "two_links",
]
