from __future__ import annotations

import struct
from collections.abc import Iterable
from socket import AF_BRIDGE, AF_INET, AF_INET6, AF_UNSPEC, inet_pton

import pytest
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from monitors.events import Event, LinkGone, LinkState, OperState
from monitors.messages import Book, Snapshot
from tests.monitors.samples import address, cut, gone, link

NEWLINK, DELLINK, NEWADDR, DELADDR, NEWROUTE = 16, 17, 20, 21, 24
IFLA_IFNAME, IFLA_WIRELESS, IFLA_OPERSTATE, IFLA_CARRIER = 3, 11, 16, 33
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_FLAGS = 1, 2, 3, 8
UP, LOOPBACK, PERMANENT, TENTATIVE, FAILED, DEPRECATED = 0x1, 0x8, 0x80, 0x40, 0x08, 0x20
OPER_DOWN, OPER_LOWER_DOWN, OPER_UP = 2, 3, 6


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link_message(
    kind: int = NEWLINK,
    *,
    index: int = 2,
    name: str = "eth0",
    flags: int = UP,
    carrier: int = 1,
    operstate: int = OPER_UP,
    family: int = AF_UNSPEC,
) -> bytes:
    body = struct.pack("BxHiII", family, 1, index, flags, 0)
    body += attribute(IFLA_IFNAME, name.encode(errors="surrogateescape") + b"\0")
    return message(
        kind, body + attribute(IFLA_OPERSTATE, bytes([operstate])) + attribute(IFLA_CARRIER, bytes([carrier]))
    )


def address_message(
    kind: int,
    text: str,
    *,
    peer: str = "",
    prefix: int = 24,
    flags: int = PERMANENT,
    scope: int = 0,
    index: int = 2,
    label: str = "eth0",
) -> bytes:
    family = AF_INET6 if ":" in text else AF_INET
    body = struct.pack("BBBBI", family, prefix, flags & 0xFF, scope, index)
    body += attribute(IFA_ADDRESS, inet_pton(family, peer or text))
    if family == AF_INET or peer:
        body += attribute(IFA_LOCAL, inet_pton(family, text))
    if family == AF_INET:
        body += attribute(IFA_LABEL, label.encode(errors="surrogateescape") + b"\0")
    return message(kind, body + attribute(IFA_FLAGS, struct.pack("I", flags)))


def play(book: Book, messages: Iterable[bytes]) -> list[Event]:
    decoded = MarshalRtnl().parse(b"".join(messages))
    return [event for one in decoded for event in book.apply(one)]


def after_link(*messages: bytes) -> list[Event]:
    """Return what follows from messages after that of a link ``eth0`` with index 2."""
    book = Book()
    play(book, [link_message()])
    return play(book, messages)


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (link_message(), link()),
        (link_message(carrier=0, operstate=OPER_LOWER_DOWN), cut()),
        (link_message(operstate=OPER_LOWER_DOWN), link(operstate=OperState.LOWER_LAYER_DOWN)),
        (link_message(flags=0, operstate=OPER_DOWN), link(up=False, operstate=OperState.DOWN)),
        (link_message(operstate=0), link(operstate=OperState.UNKNOWN)),
        (link_message(operstate=1), link(operstate=OperState.NOT_PRESENT)),
        (link_message(operstate=4), link(operstate=OperState.TESTING)),
        (link_message(operstate=5), link(operstate=OperState.DORMANT)),
    ],
)
def test_link_messages(raw: bytes, state: LinkState) -> None:
    assert play(Book(), [raw]) == [state]


def test_the_loopback_interface_is_marked() -> None:
    (event,) = play(Book(), [link_message(name="lo", flags=UP | LOOPBACK)])
    assert isinstance(event, LinkState)
    assert event.loopback


@pytest.mark.parametrize("kind", [NEWLINK, DELLINK])
def test_a_bridge_says_nothing_about_the_link_of_its_port(kind: int) -> None:
    assert after_link(link_message(kind, family=AF_BRIDGE, carrier=0)) == []


def test_a_message_without_state_is_no_state() -> None:
    body = struct.pack("BxHiII", AF_UNSPEC, 1, 2, UP, 0) + attribute(IFLA_IFNAME, b"eth0\0")
    assert play(Book(), [message(NEWLINK, body + attribute(IFLA_WIRELESS, b"\0" * 8))]) == []


def test_other_messages_are_passed_over() -> None:
    assert play(Book(), [message(NEWROUTE, struct.pack("8BI", AF_INET, 0, 0, 0, 254, 0, 0, 1, 0))]) == []


@pytest.mark.parametrize(
    ("flags", "scope", "usable"),
    [
        (PERMANENT, 0, True),
        (0, 0, True),
        (PERMANENT, 200, True),
        (PERMANENT, 253, False),
        (PERMANENT, 254, False),
        (PERMANENT | TENTATIVE, 0, False),
        (PERMANENT | TENTATIVE | FAILED, 0, False),
        (DEPRECATED, 0, False),
        (0x200 | PERMANENT, 0, True),  # IFA_F_NOPREFIXROUTE does not fit into the old field
    ],
)
@pytest.mark.parametrize("text", ["10.0.0.1", "fd00::1"])
def test_which_addresses_are_usable(text: str, flags: int, scope: int, usable: bool) -> None:
    events = after_link(address_message(NEWADDR, text, flags=flags, scope=scope))
    assert events == [address(text, usable=usable)]


def test_labels() -> None:
    (event,) = after_link(address_message(NEWADDR, "10.0.0.1", label="eth0:1"))
    assert event.label == "eth0:1"  # type: ignore[union-attr]


def test_of_a_point_to_point_link_the_local_end_counts() -> None:
    assert after_link(address_message(NEWADDR, "10.0.0.1", peer="10.9.9.9", prefix=32)) == [
        address("10.0.0.1", prefix_length=32)
    ]
    assert after_link(address_message(NEWADDR, "fd00::1", peer="fd00::2", prefix=128)) == [
        address("fd00::1", prefix_length=128)
    ]


def test_removal() -> None:
    events = after_link(address_message(NEWADDR, "10.0.0.1"), address_message(DELADDR, "10.0.0.1"))
    assert events == [address(), gone(address())]


def test_an_address_that_is_there_twice_goes_with_its_last_copy() -> None:
    wide, narrow = address(prefix_length=16), address(prefix_length=24)
    events = after_link(
        address_message(NEWADDR, "10.0.0.1", prefix=16),
        address_message(NEWADDR, "10.0.0.1", prefix=24),
        address_message(DELADDR, "10.0.0.1", prefix=16),
        address_message(DELADDR, "10.0.0.1", prefix=24),
    )
    assert events == [wide, narrow, narrow, gone(narrow)]


def test_removals_of_what_is_not_known_are_passed_over() -> None:
    assert after_link(address_message(DELADDR, "10.0.0.1")) == []
    assert play(Book(), [address_message(NEWADDR, "10.0.0.1")]) == []


def test_a_deleted_link_takes_its_addresses_along() -> None:
    events = after_link(address_message(NEWADDR, "fd00::1"), link_message(DELLINK))
    assert events[1:] == [gone(address("fd00::1")), LinkGone(interface="eth0", index=2)]


def test_a_renamed_link_renames_its_addresses() -> None:
    events = after_link(
        address_message(NEWADDR, "fd00::1"),
        address_message(NEWADDR, "10.0.0.1", label="eth0:1"),
        link_message(name="wan0"),
        address_message(DELADDR, "fd00::1"),
    )
    renamed = address("fd00::1", interface="wan0")
    assert events[2:4] == [link(interface="wan0"), renamed]
    assert (events[4].interface, events[4].label) == ("wan0", "eth0:1")  # type: ignore[union-attr]
    assert events[5:] == [gone(renamed)]


def test_a_snapshot_has_everything_once_in_order_of_appearance() -> None:
    book = Book()
    play(
        book,
        [
            link_message(),
            link_message(index=3, name="ppp0"),
            address_message(NEWADDR, "10.0.0.1", prefix=16),
            address_message(NEWADDR, "10.0.0.1", prefix=24),
            address_message(NEWADDR, "fd00::1"),
        ],
    )
    first, second = address(prefix_length=16), address("fd00::1")
    assert book.snapshot() == Snapshot(links=(link(), link(3, "ppp0")), addresses=(first, second))


def test_names_that_are_not_utf_8_are_text_all_the_same() -> None:
    book, name = Book(), b"\xffth0".decode(errors="surrogateescape")
    told = [
        link_message(name=name),
        address_message(NEWADDR, "10.0.0.1", label=name),
        link_message(DELLINK, name=name),
    ]
    events = play(book, told)
    assert {event.interface for event in events} == {r"\xffth0"}
    assert [type(event).__name__ for event in events][:2] == ["LinkState", "AddressPresent"]
