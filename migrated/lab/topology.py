"""The ready-made network of the demo, the tests and the benchmarks: a client with several ways to one server.

    client ──eth0── 10.1.0.0/24 ── l1 ┐
                    fd01::/64         router ── srv ── 18.31.0.0/24, fd03::/64 ──eth0── server
    client ──ppp0── 10.2.0.0/24 ── l2 ┘
                    fd02::/64

Source: the Migrate paper, Fig. 10 (the server's prefix).
"""

from __future__ import annotations

from migrated.lab.host import Host
from migrated.lab.lab import Lab
from migrated.lab.link import Cable
from migrated.lab.loss import deliver, lose

SERVER_V4, SERVER_V6 = "18.31.0.9", "fd03::9"
SERVER_INTERFACE = "eth0"
NAT_OUTSIDE = "srv"
"""The router's interface towards the server, for ``Router.strict_nat``."""

_METRIC_STEP = 100
_SERVER_NETWORK = 3  # fd03::/64, which no link may have


class Access:
    """One way of the client into the network: a cable to the router, addresses, default routes.

    ``interface`` is the client's name for it; ``v4`` and ``v6`` are the client's addresses on it. Links made
    earlier have the lower metric, which is the preferred one. ``lossy`` says whether packets are lost.
    """

    def __init__(self, client: Host, interface: str, cable: Cable, number: int) -> None:
        self.interface = interface
        self.cable = cable
        self.v4, self.v6 = _v4(number, 2), _v6(number, 2)
        self._gateways = _v4(number, 1), _v6(number, 1)
        self._client = client
        self._metric = number * _METRIC_STEP
        self.lossy = False

    def cut(self) -> None:
        """Pull the cable; addresses and routes stay.

        Raises:
            LabError: the lab has ended.
        """
        self.cable.cut()

    def plug(self) -> None:
        """Plug the cable in.

        Raises:
            LabError: the lab has ended.
        """
        self.cable.plug()

    def lose(self, share: float = 1.0) -> None:
        """Lose a share of all packets in each direction, 0 to 1, between the cable and the router.

        The link stays up: by default it is one that leads nowhere.

        Raises:
            LabError: `nft` is missing, or the kernel refuses.
            ValueError: ``share`` is no share.
        """
        end = self.cable.ends[1]
        lose(end.host, end.interface, share)
        self.lossy = True

    def deliver(self) -> None:
        """Lose nothing any more.

        Raises:
            LabError: `nft` is missing.
        """
        if self.lossy:
            end = self.cable.ends[1]
            deliver(end.host, end.interface)
            self.lossy = False

    def configure(self) -> None:
        """Give the client its addresses and default routes here, as DHCP and a router advertisement would.

        Raises:
            LabError: it has them already.
        """
        self._client.address_add(self.interface, f"{self.v4}/24")
        self._client.address_add(self.interface, f"{self.v6}/64")
        for gateway in self._gateways:
            self._client.route_add("default", via=gateway, dev=self.interface, metric=self._metric)

    def withdraw(self) -> None:
        """Take the client's addresses and routes away, as a lost lease does.

        Raises:
            LabError: it has none.
        """
        gateway = self._gateways[1]
        self._client.ip(
            f"address del {self.v4}/24 dev {self.interface}",  # its routes go with it
            f"route del default via {gateway} dev {self.interface} metric {self._metric}",
            f"address del {self.v6}/64 dev {self.interface}",
        )


class TwoLinks:
    """A client with two links (``add_link`` makes more), a router, and a server."""

    def __init__(self, lab: Lab, names: tuple[str, ...], rtt_s: float) -> None:
        self._lab = lab
        self.client = lab.host("client")
        self.router = lab.router("router")
        self.server = lab.host("server")
        self.links: list[Access] = []
        self._connect_server()
        for name in names:
            self.add_link(name, rtt_s=rtt_s)

    def add_link(self, name: str, *, rtt_s: float = 0.0) -> Access:
        """Give the client one more link, plugged in and configured.

        Args:
            name: the client's name for the interface.
            rtt_s: how much longer the link makes a round trip, in seconds.

        Raises:
            LabError: the client has an interface of that name already.
            ValueError: ``rtt_s`` is negative.
        """
        number = len(self.links) + 1
        inner = f"l{number}"
        cable = self._lab.cable(self.client, name, self.router, inner, rtt_s=rtt_s)
        self.router.address_add(inner, f"{_v4(number, 1)}/24")
        self.router.address_add(inner, f"{_v6(number, 1)}/64")
        self.links.append(Access(self.client, name, cable, number))
        self.links[-1].configure()
        return self.links[-1]

    def _connect_server(self) -> None:
        self._lab.cable(self.router, NAT_OUTSIDE, self.server, SERVER_INTERFACE)
        self.router.address_add(NAT_OUTSIDE, "18.31.0.1/24")
        self.router.address_add(NAT_OUTSIDE, "fd03::1/64")
        self.server.address_add(SERVER_INTERFACE, f"{SERVER_V4}/24")
        self.server.address_add(SERVER_INTERFACE, f"{SERVER_V6}/64")
        self.server.route_add("default", via="18.31.0.1")
        self.server.route_add("default", via="fd03::1")


def two_links(lab: Lab, *, names: tuple[str, ...] = ("eth0", "ppp0"), rtt_s: float = 0.0) -> TwoLinks:
    """Build the network of this module in a lab.

    Args:
        lab: an open lab.
        names: the client's interfaces, the preferred one first.
        rtt_s: how much longer each link makes a round trip, in seconds.

    Raises:
        LabError: the kernel refuses, or a name is given twice.
        ValueError: ``rtt_s`` is negative.
    """
    return TwoLinks(lab, names, rtt_s)


def _v4(number: int, host: int) -> str:
    return f"10.{number}.0.{host}"


def _v6(number: int, host: int) -> str:
    network = number if number < _SERVER_NETWORK else number + 1
    return f"fd{network:02x}::{host}"
