"""The world: which links and addresses there are, and whether packets can leave by them."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, assert_never

from engine.attachment import AttachmentPoint, PointKey
from monitors.events import AddressGone, AddressPresent, LinkGone, LinkState, NetworkEvent

USABLE = ""
"""The status of an attachment point by which packets can leave; any other text says why not."""


class LinkFacts(NamedTuple):
    """What follows from the events about a link: ``link`` is its index, ``addresses`` counts usable ones."""

    link: int
    carrier: bool
    operstate: str
    addresses: int


class Place(NamedTuple):
    """An attachment point, its identity, and why packets can't leave by it (`USABLE` if they can)."""

    point: AttachmentPoint
    key: PointKey
    status: str


class World:
    """Hold links and addresses as the monitors last reported them.

    Links are known by index, because a name can change and be given to another link.
    """

    def __init__(self) -> None:
        self._links: dict[int, LinkState] = {}
        self._addresses: dict[tuple[int, str], AddressPresent] = {}
        self.points: tuple[AttachmentPoint, ...] = ()
        self.places: tuple[Place, ...] = ()
        self._status: dict[PointKey, str] = {}

    def apply(self, event: NetworkEvent) -> bool:
        """Take one event in and return whether it changed anything."""
        match event:
            case LinkState():
                changed = self._links.get(event.index) != event
                if changed:
                    self._forget_namesake(event)
                    self._links[event.index] = event
            case LinkGone():
                changed = self._forget_link(event.index)
            case AddressPresent():
                key = (event.index, event.address)
                changed = self._addresses.get(key) != event
                self._addresses[key] = event
            case AddressGone():
                changed = self._addresses.pop((event.index, event.address), None) is not None
            case _:
                assert_never(event)
        if changed:
            self._rebuild()
        return changed

    def status(self, key: PointKey) -> str:
        """Return why packets can't leave by an attachment point; `USABLE`, the empty text, if they can."""
        return self._status.get(key, "its address is not configured")

    def links(self) -> dict[str, LinkFacts]:
        """Return what follows from the events about each link, by its name."""
        usable = Counter(index for (index, _), address in self._addresses.items() if address.usable)
        return {
            link.interface: LinkFacts(link.index, link.carrier, link.operstate.value, usable[link.index])
            for link in self._links.values()
        }

    def _forget_link(self, index: int) -> bool:
        """Drop a link and, as the kernel does, its addresses."""
        stale = [key for key in self._addresses if key[0] == index]
        for key in stale:
            del self._addresses[key]
        return self._links.pop(index, None) is not None or bool(stale)

    def _forget_namesake(self, link: LinkState) -> None:
        """Drop an older link of the same name: a kernel has one at a time, so its end went unheard."""
        for other in list(self._links.values()):
            if other.interface == link.interface and other.index != link.index:
                self._forget_link(other.index)

    def _rebuild(self) -> None:
        """Make the attachment points anew; loopback never is one."""
        found: list[AttachmentPoint] = []
        self._status = {}
        for address in self._addresses.values():
            link = self._links.get(address.index)
            if link is None or link.loopback:
                continue
            point = _point(link, address)
            found.append(point)
            self._status[point.key] = _status(link, address)
        self.points = tuple(sorted(found, key=lambda point: (point.index, point.name, point.address)))
        self.places = tuple(Place(point, point.key, self._status[point.key]) for point in self.points)


def _point(link: LinkState, address: AddressPresent) -> AttachmentPoint:
    """Name an address on a link; without a label of its own it follows the link's present name."""
    labelled = address.label not in ("", address.interface)
    return AttachmentPoint(
        name=address.label if labelled else link.interface,
        interface=link.interface,
        index=link.index,
        address=address.address,
        family=address.family,
    )


def _status(link: LinkState, address: AddressPresent) -> str:
    """Say why packets can't leave, or `USABLE`."""
    if not link.up:
        return "the link is switched off"
    if not link.carrier:
        return "the link has no carrier"
    if not link.usable:
        return f"the link is {link.operstate.value}"
    if not address.usable:
        return "the address is not usable (tentative, deprecated, or of link or host scope)"
    return USABLE
