"""The lab: hosts, routers and cables that exist for the length of a ``with`` block."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from migrated.lab.errors import LabError, require
from migrated.lab.host import Host
from migrated.lab.link import Cable, CableEnd
from migrated.lab.namespace import Keeper
from migrated.lab.privilege import require_privilege
from migrated.lab.router import Router

H = TypeVar("H", bound=Host)
T = TypeVar("T")


class Lab:
    """A network of namespaces. It never touches the network of the machine.

    Everything is gone at the end of the ``with`` block, whatever ends it; and also when this process
    is killed, since a small keeper process then ends all programs on all hosts.

        with Lab() as lab:
            client, server = lab.host("client"), lab.host("server")
            cable = lab.cable(client, "eth0", server, "eth0")
            client.address_add("eth0", "10.0.0.1/24")
            cable.cut()
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._keeper: Keeper | None = None
        self._wire: Host | None = None
        self._hosts: list[Host] = []
        self._cables = 0

    def __enter__(self) -> Self:
        """Start the keeper.

        Raises:
            LabError: this process may not make namespaces, or `ip` is missing.
        """
        require_privilege()
        require("ip")
        with self._stack:  # what was begun is ended if something below fails
            self._stack.callback(self._close_pipes)
            self._keeper = Keeper()
            self._stack.callback(self._keeper.close)
            self._wire = self.host("wire")
            self._wire.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything in reverse order, then the keeper with whatever still runs, last the pipes."""
        self._stack.close()
        self._keeper = self._wire = None

    def host(self, name: str) -> Host:
        """Return a new host with nothing but a loopback interface.

        Raises:
            LabError: the lab is not open, or the kernel refuses.
        """
        return self._add(Host, name)

    def router(self, name: str) -> Router:
        """Return a new host that forwards IPv4 and IPv6.

        Raises:
            LabError: the lab is not open, or the kernel refuses.
        """
        return self._add(Router, name)

    def cable(self, a: Host, a_interface: str, b: Host, b_interface: str, *, rtt_s: float = 0.0) -> Cable:
        """Connect two hosts with a cable, plugged in, and give each an interface of the name said.

        Args:
            a: one host.
            a_interface: the new interface there; any name of up to 15 characters.
            b: the other host.
            b_interface: the new interface there.
            rtt_s: how much longer the cable makes a round trip, in seconds; half of it in each direction.

        Raises:
            LabError: the lab is not open, or an interface of that name exists there.
            ValueError: ``rtt_s`` is negative.
        """
        wire = _open(self._wire)
        if rtt_s < 0:
            raise ValueError(f"a round trip cannot take {rtt_s} s")
        self._cables += 1
        ends = (CableEnd(host=a, interface=a_interface), CableEnd(host=b, interface=b_interface))
        cable = Cable(wire, self._cables, ends)
        cable.lay()
        if rtt_s == 0:
            cable.bridge()
            cable.plug()
        else:
            cable.plug()
            cable.delay(rtt_s / 2)
        return cable

    def _add(self, kind: type[H], name: str) -> H:
        namespace = _open(self._keeper).new_namespace()
        self._stack.callback(namespace.close)
        host = kind(name, namespace)
        self._hosts.append(host)
        self._stack.callback(host.end_programs)
        return host

    def _close_pipes(self) -> None:
        for host in self._hosts:
            host.close_pipes()


def _open(part: T | None) -> T:
    if part is None:
        raise LabError("the lab is not open; use `with Lab() as lab:`")
    return part
