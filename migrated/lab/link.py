"""Cables between hosts. They can be pulled and plugged in again.

A cable is two veth pairs that meet in the lab's *wire* namespace, joined there by a bridge or by
a delay line. Pulling it takes the two inner ends down, so that both hosts lose the carrier as if
somebody had pulled the plug. With a single veth pair one of the hosts would have to take its own
interface down, which also deletes its IPv6 addresses and its routes.

Source: veth(4), ip-link(8).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from migrated.lab.errors import LabError
from migrated.lab.host import Host

# The kernel (link_watch.c) reports a change of carrier up to a second late where a veth and its peer have
# the same index, which easily happens across namespaces. No host has this many interfaces.
_FIRST_INDEX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CableEnd:
    """A host and the name of the interface that the cable gives it."""

    host: Host
    interface: str


class Cable:
    """A cable between two hosts. ``Lab.cable`` makes it, plugged in.

    ``number`` tells the cables of one lab apart. The two ``ports`` are the inner ends, in the namespace of
    ``wire``.
    """

    def __init__(self, wire: Host, number: int, ends: tuple[CableEnd, CableEnd]) -> None:
        self.ends = ends
        self.ports = (f"c{number}a", f"c{number}b")
        self._indexes = (_FIRST_INDEX + 2 * number, _FIRST_INDEX + 2 * number + 1)
        self._bridge = f"c{number}"
        self.wire = wire

    def lay(self) -> None:
        """Make the interfaces at both hosts and take them up; nothing joins the inner ends yet.

        Raises:
            LabError: a host has an interface of that name already, or `ip` is missing.
        """
        for port, index, end in zip(self.ports, self._indexes, self.ends, strict=True):
            peer = f"peer name {end.interface} netns {end.host.namespace.path}"
            self.wire.ip(f"link add {port} index {index} type veth {peer}")
        for end in self.ends:
            end.host.ip(f"link set {end.interface} up")

    def bridge(self) -> None:
        """Join the inner ends with a bridge, which carries frames as fast as the kernel can.

        Raises:
            LabError: the kernel has no bridges.
        """
        self.wire.ip(
            # Without snooping, IPv6 neighbour discovery works from the first packet on.
            f"link add {self._bridge} type bridge mcast_snooping 0",
            f"link set {self._bridge} up",
            *(f"link set {port} master {self._bridge}" for port in self.ports),
        )

    def delay(self, delay_s: float) -> None:
        """Join the inner ends with a delay line, and wait until it carries frames.

        Args:
            delay_s: how long each direction holds a frame back, in seconds.

        Raises:
            LabError: its process ended at once; the complaint is on standard error.
        """
        command = [sys.executable, "-m", "migrated.lab.delay", *self.ports, repr(delay_s)]
        line = self.wire.popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        assert line.stdout is not None
        if line.stdout.readline() != b"ready\n":
            raise LabError(
                f"the delay line between `{self.ports[0]}` and `{self.ports[1]}` could not be started"
            )

    def cut(self) -> None:
        """Pull the cable: both hosts lose the carrier and keep their addresses; what is under way is lost.

        Raises:
            LabError: the lab has ended.
        """
        self.wire.ip(*(f"link set {port} down" for port in self.ports))

    def plug(self) -> None:
        """Plug the cable in: both hosts have a carrier again.

        Raises:
            LabError: the lab has ended.
        """
        self.wire.ip(*(f"link set {port} up" for port in self.ports))
