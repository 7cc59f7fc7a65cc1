"""Which destinations a gateway connects to: patterns, and the one function that decides.

    localhost:22            the addresses that the name has at the gateway at that moment, port 22
    192.0.2.7:80-89         one address, several ports
    10.0.0.0/8:*            every address of a network, every port
    [2001:db8::/32]:443     IPv6 in brackets
    *:443                   every address except the gateway's own loopback and link-local ones
    unix:/run/program.sock  exactly this path

What is compared is always the *address* that will be connected to, never the name that was asked for: a
name that someone else controls may lead anywhere. The unspecified address (0.0.0.0 and ::, which the kernel
takes for the loopback) and multicast are never allowed. An IPv4 address written as IPv6 (::ffff:10.0.0.1)
counts as IPv4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from migrated.streams.addresses import (
    PORT_MAX,
    UNIX_PREFIX,
    AddressError,
    UnixEndpoint,
    quoted,
    read_host,
    read_port,
    read_unix_path,
    split_endpoint,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Names = Mapping[str, frozenset[Address]]
"""The addresses that host names have now."""


@dataclass(frozen=True, slots=True)
class TcpRule:
    """Allow the ports from ``lowest`` to ``highest`` of a network, a name, or (``None``) every other host."""

    host: Network | str | None
    lowest: int
    highest: int

    def covers(self, address: Address, port: int, names: Names) -> bool:
        """Return whether this rule alone would allow it."""
        return self.lowest <= port <= self.highest and self._covers_host(address, names)

    def _covers_host(self, address: Address, names: Names) -> bool:
        if self.host is None:
            return not (address.is_loopback or address.is_link_local)
        if isinstance(self.host, str):
            return address in names.get(self.host, frozenset())
        return address in self.host


Rule = TcpRule | UnixEndpoint
Rules = tuple[Rule, ...]


def read_rule(text: str) -> Rule:
    """Read one pattern.

    Raises:
        AddressError: it is none.
    """
    if text.startswith(UNIX_PREFIX):
        return UnixEndpoint(read_unix_path(text.removeprefix(UNIX_PREFIX)))
    host, port = split_endpoint(text)
    return TcpRule(_read_host(host), *_read_ports(port))


def plain_address(text: str) -> Address:
    """Return an address as rules compare it: IPv4 inside IPv6 taken out.

    Raises:
        ValueError: it is no address.
    """
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def may_reach(rules: Rules, address: Address, port: int, names: Names) -> bool:
    """Return whether a connection to this address and port is allowed.

    Args:
        rules: what is allowed.
        address: where the connection would go, from `plain_address`.
        port: its port.
        names: the addresses of all names in ``names_in(rules, port)``.
    """
    if address.is_unspecified or address.is_multicast:
        return False
    return any(isinstance(rule, TcpRule) and rule.covers(address, port, names) for rule in rules)


def names_in(rules: Rules, port: int) -> frozenset[str]:
    """Return the host names whose addresses must be known to decide about this port."""
    return frozenset(
        rule.host
        for rule in rules
        if isinstance(rule, TcpRule) and isinstance(rule.host, str) and rule.lowest <= port <= rule.highest
    )


def _read_host(text: str) -> Network | str | None:
    if text == "*":
        return None
    if "/" in text:
        return _read_network(text)
    host = read_host(text)
    try:
        return ip_network(plain_address(host))
    except ValueError:
        return host


def _read_network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise AddressError(f"{quoted(text)} is not a network; write it like `10.0.0.0/8`") from None
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        raise AddressError(f"{quoted(text)} has bits beyond its prefix; did you mean {quoted(str(network))}?")
    return network


def _read_ports(text: str) -> tuple[int, int]:
    if text == "*":
        return 1, PORT_MAX
    low, dash, high = text.partition("-")
    lowest = read_port(low)
    highest = read_port(high) if dash else lowest
    if lowest > highest:
        raise AddressError(f"the range {quoted(text)} runs backwards; did you mean `{highest}-{lowest}`?")
    return lowest, highest
