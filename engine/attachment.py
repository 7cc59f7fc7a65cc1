"""Attachment points: the places a session can live, and addresses as the engine compares them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct

PointKey = tuple[str, str]
"""What identifies an attachment point: (interface, address)."""

AddressNumber = tuple[int, int]
"""An address as (family 4 or 6, number): what prefixes are compared with."""

ADDRESS_CACHE = 65_536
"""Addresses whose parsed form is remembered; beyond it the least recently used is parsed anew."""


class AttachmentPoint(Struct, frozen=True, kw_only=True):
    """One local address on an interface.

    ``name`` is the address's label where it has one (``eth0:1``), else the interface's
    name; policies speak of names. Identity is ``key``: a label may change.
    """

    name: str
    interface: str
    index: int
    address: str
    family: int

    @property
    def key(self) -> PointKey:
        """Return the identity: (interface, address)."""
        return (self.interface, self.address)


@lru_cache(maxsize=ADDRESS_CACHE)
def _parse(text: str) -> IPv4Address | IPv6Address:
    """Read an address; one that is IPv4 mapped into IPv6 (RFC 4291, 2.5.5.2) is IPv4."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=ADDRESS_CACHE)
def address_number(text: str) -> AddressNumber:
    """Return family and number of an address in text form.

    Raises:
        ValueError: ``text`` is not an address.
    """
    address = _parse(text)
    return (address.version, int(address))


@lru_cache(maxsize=ADDRESS_CACHE)
def canonical_address(text: str) -> str:
    """Return the canonical text of an address, IPv4-mapped ones as IPv4.

    Raises:
        ValueError: ``text`` is not an address.
    """
    return str(_parse(text))
