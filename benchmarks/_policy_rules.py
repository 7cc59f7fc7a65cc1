"""Rules as routers have them: prefixes from the space that the registries give out, and ports of services.

Everything is drawn from a seeded generator, so that every run and every system sees the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

LINKS = 8
SEED = 10

V4_FIRST_OCTETS = tuple(octet for octet in range(1, 224) if octet not in (10, 127))
"""The /8s that are given out. Source: the IANA IPv4 Address Space Registry, all that is not ``RESERVED``."""

V6_BLOCKS = tuple(
    IPv6Network(block)
    for block in (
        *("2001:200::/23", "2001:400::/23", "2001:600::/23", "2001:1200::/23", "2001:4200::/23"),
        *("2003::/18", "2400::/12", "2410::/12", "2600::/12", "2610::/23", "2620::/23", "2630::/12"),
        *("2800::/12", "2a00::/12", "2a10::/12", "2c00::/12"),
    )
)
"""Source: the IANA IPv6 Global Unicast Address Assignments, those of the five regional registries."""

# How many prefixes of a hundred have which length, by and large as in the public routing tables.
V4_LENGTHS = {8: 1, 12: 1, 16: 4, 17: 1, 18: 2, 19: 4, 20: 5, 21: 5, 22: 11, 23: 9, 24: 57}
V6_LENGTHS = {19: 1, 24: 1, 29: 4, 32: 16, 33: 3, 36: 6, 38: 3, 40: 9, 42: 3, 44: 11, 46: 4, 47: 2, 48: 37}
PORTS = {443: 40, 80: 15, 22: 10, 53: 8, 993: 6, 25: 5, 587: 4, 3389: 4, 5060: 4, 8080: 4}
V6_SHARE = 0.2

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """To addresses of this network, on this port of theirs, by this link."""

    network: Network
    port: int
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked: by which link to this address, on this port?"""

    address: Address
    port: int


def rules(count: int, seed: int = SEED) -> list[Rule]:
    """Return different rules, of which the first that matches is to be followed.

    `last_one` finds a request that only the last of them matches.
    """
    generator = random.Random(seed)
    networks: dict[Network, None] = {}
    while len(networks) < count - 1:
        networks[_network(generator)] = None
    found = [_rule(generator, network) for network in networks]
    while True:
        last = _rule(generator, _v4(generator))
        request = Request(address=last.network.network_address + 1, port=last.port)
        if first_match(found, request) is None:
            return [*found, last]


def last_one(among: Sequence[Rule]) -> Request:
    """Return the request that `rules` made sure only the last rule matches."""
    return Request(address=among[-1].network.network_address + 1, port=among[-1].port)


def first_match(among: Sequence[Rule], request: Request) -> str | None:
    """Answer a request as one would by hand: rule after rule."""
    for rule in among:
        if rule.port == request.port and request.address in rule.network:
            return rule.link
    return None


def probes(among: Sequence[Rule], count: int, seed: int = SEED) -> list[Request]:
    """Return requests of which some are answered by nested prefixes, some by one rule and some by none."""
    generator = random.Random(seed)
    return [last_one(among), *_probes(generator, among, count)]


def _probes(generator: random.Random, among: Sequence[Rule], count: int) -> Iterator[Request]:
    for number in range(count):
        rule = generator.choice(among)
        match number % 4:
            case 0 | 1:
                yield Request(address=_address(generator, rule.network), port=rule.port)
            case 2:
                yield Request(address=_address(generator, rule.network), port=generator.choice(list(PORTS)))
            case _:
                yield Request(address=_address(generator, _network(generator)), port=rule.port)


def _rule(generator: random.Random, network: Network) -> Rule:
    port = _draw(generator, PORTS)
    return Rule(network=network, port=port, link=f"eth{generator.randrange(LINKS)}")


def _network(generator: random.Random) -> Network:
    return _v6(generator) if generator.random() < V6_SHARE else _v4(generator)


def _v4(generator: random.Random) -> IPv4Network:
    """Return a prefix of the public space; some ranges of it are nobody's."""
    while True:
        number = generator.choice(V4_FIRST_OCTETS) << 24 | generator.getrandbits(24)
        network = IPv4Network((number, _draw(generator, V4_LENGTHS)), strict=False)
        if network.is_global:
            return network


def _v6(generator: random.Random) -> IPv6Network:
    block = generator.choice(V6_BLOCKS)
    length = max(_draw(generator, V6_LENGTHS), block.prefixlen)
    return IPv6Network((int(_address(generator, block)), length), strict=False)


def _address(generator: random.Random, network: Network) -> Address:
    bits = network.max_prefixlen - network.prefixlen
    number = int(network.network_address) + (generator.getrandbits(bits) if bits else 0)
    return IPv4Address(number) if network.version == 4 else ip_address(number)


def _draw(generator: random.Random, weights: dict[int, int]) -> int:
    (drawn,) = generator.choices(list(weights), list(weights.values()))
    return drawn
