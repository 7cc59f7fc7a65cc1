"""rtnetlink messages, already decoded, turned into events.

Source: rtnetlink(7); RFC 2863 for operational states; ``if_addr.h`` and
``rtnetlink.h`` of the kernel for the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from socket import AF_INET, AF_UNSPEC
from typing import Any, Protocol

from monitors.events import AddressGone, AddressPresent, LinkGone, LinkState, NetworkEvent, OperState

IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFA_F_DADFAILED = 0x08
IFA_F_DEPRECATED = 0x20
IFA_F_TENTATIVE = 0x40
RT_SCOPE_LINK = 253  # 254 is this host alone, 255 nowhere; smaller numbers reach further

_UNUSABLE_FLAGS = IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE
_OPERSTATES = {
    "UNKNOWN": OperState.UNKNOWN,
    "NOTPRESENT": OperState.NOT_PRESENT,
    "DOWN": OperState.DOWN,
    "LOWERLAYERDOWN": OperState.LOWER_LAYER_DOWN,
    "TESTING": OperState.TESTING,
    "DORMANT": OperState.DORMANT,
    "UP": OperState.UP,
}


class Message(Protocol):
    """A decoded message: fields and attributes by lower-case name, without their prefix."""

    # A value has whatever type its field or attribute has in the kernel.
    def get(self, key: str, default: Any = None, /) -> Any:  # noqa: ANN401
        """Return a field or attribute, or ``default``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that exists at one moment. What is not in it does not exist any more."""

    links: tuple[LinkState, ...]
    addresses: tuple[AddressPresent, ...] = ()


Change = Snapshot | NetworkEvent

# The kernel allows one address twice on one link, with another prefix or another peer.
_Record = tuple[int, str, int, str]


class Book:
    """The links and addresses of one network namespace as the messages so far tell them."""

    def __init__(self) -> None:
        self._links: dict[int, LinkState] = {}
        self._addresses: dict[_Record, AddressPresent] = {}

    def snapshot(self) -> Snapshot:
        """Return all links, and all addresses once for each link."""
        by_address = {(a.index, a.address): a for a in reversed(self._addresses.values())}
        return Snapshot(links=tuple(self._links.values()), addresses=tuple(reversed(by_address.values())))

    def apply(self, message: Message) -> tuple[NetworkEvent, ...]:
        """Take in one message and return the states that follow from it, none if it says nothing to us."""
        match message.get("event"):
            case "RTM_NEWLINK":
                return tuple(self._new_link(message))
            case "RTM_DELLINK":
                return tuple(self._delete_link(message))
            case "RTM_NEWADDR":
                return tuple(self._new_address(message))
            case "RTM_DELADDR":
                return tuple(self._delete_address(message))
            case _:
                return ()

    def _new_link(self, message: Message) -> Iterator[NetworkEvent]:
        # Bridges send messages of their own family about ports, wireless drivers some with
        # nothing but their own attribute: neither says anything about the state of the link.
        if message.get("family") != AF_UNSPEC or message.get("carrier") is None:
            return
        link = _link(message)
        renamed = link.index in self._links and self._links[link.index].interface != link.interface
        self._links[link.index] = link
        yield link
        if renamed:
            yield from self._rename(link)

    def _rename(self, link: LinkState) -> Iterator[NetworkEvent]:
        """Give the link's addresses its new name: the kernel says nothing about IPv6 addresses."""
        for record, address in self._addresses.items():
            if address.index == link.index:
                label = link.interface if address.label == address.interface else address.label
                self._addresses[record] = replace(address, interface=link.interface, label=label)
                yield self._addresses[record]

    def _delete_link(self, message: Message) -> Iterator[NetworkEvent]:
        # A port that leaves a bridge is "deleted" too, in the bridge's family.
        if message.get("family") != AF_UNSPEC:
            return
        index = message.get("index")
        for record in [record for record in self._addresses if record[0] == index]:
            yield _gone(self._addresses.pop(record))
        self._links.pop(index, None)
        yield LinkGone(interface=_name(message.get("ifname")), index=index)

    def _new_address(self, message: Message) -> Iterator[NetworkEvent]:
        link = self._links.get(message.get("index"))
        if link is None:  # deleted meanwhile; the message that says so is on its way
            return
        address = _address(message, link.interface)
        self._addresses[_record(message)] = address
        yield address

    def _delete_address(self, message: Message) -> Iterator[NetworkEvent]:
        removed = self._addresses.pop(_record(message), None)
        if removed is None:
            return
        same = (
            a for a in self._addresses.values() if (a.index, a.address) == (removed.index, removed.address)
        )
        yield next(same, None) or _gone(removed)


def _link(message: Message) -> LinkState:
    flags = message.get("flags")
    return LinkState(
        interface=_name(message.get("ifname")),
        index=message.get("index"),
        up=bool(flags & IFF_UP),
        carrier=bool(message.get("carrier")),
        operstate=_OPERSTATES[message.get("operstate", "UNKNOWN")],
        loopback=bool(flags & IFF_LOOPBACK),
    )


def _name(attribute: str | bytes | None) -> str:
    """Return a name as text. The kernel takes nearly any bytes; those that are not UTF-8 come as they are."""
    return attribute.decode(errors="backslashreplace") if isinstance(attribute, bytes) else attribute or ""


def _text(message: Message) -> str:
    # For IPv4 IFA_ADDRESS is the far end of a point-to-point link; IPv6 has IFA_LOCAL only there.
    return str(ip_address(message.get("local") or message.get("address")))


def _record(message: Message) -> _Record:
    return (message.get("index"), _text(message), message.get("prefixlen"), message.get("address") or "")


def _address(message: Message, interface: str) -> AddressPresent:
    # The attribute has 32 bits, the field of the same name 8; `get` prefers the attribute.
    usable = message.get("scope") < RT_SCOPE_LINK and not message.get("flags") & _UNUSABLE_FLAGS
    return AddressPresent(
        interface=interface,
        index=message.get("index"),
        label=_name(message.get("label")) or interface,
        address=_text(message),
        prefix_length=message.get("prefixlen"),
        family=4 if message.get("family") == AF_INET else 6,
        usable=usable,
    )


def _gone(address: AddressPresent) -> AddressGone:
    return AddressGone(
        interface=address.interface, index=address.index, address=address.address, family=address.family
    )
