from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitors.events import AddressGone, AddressPresent, LinkGone, LinkState, NetworkEvent, OperState
from monitors.network_faults import network_fault_of

LINK = LinkState(interface="eth0", index=2, up=True, carrier=True, operstate=OperState.UP)
GONE = LinkGone(interface="eth0", index=2)
HAS = AddressPresent(
    interface="eth0", index=2, label="eth0:1", address="2001:db8::1", prefix_length=64, family=6, usable=True
)
LOST = AddressGone(interface="eth0", index=2, address="10.0.0.1", family=4)


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize("event", [LINK, GONE, HAS, LOST], ids=lambda event: type(event).__name__)
def test_what_the_kernel_says_is_good(event: NetworkEvent) -> None:
    assert network_fault_of(event) == ""


@pytest.mark.parametrize(
    ("event", "change", "message"),
    [
        (LINK, {"operstate": "up"}, "with operstate='up'; expected an `OperState`"),
        (LINK, {"up": 1}, "with up=1; expected `True` or `False`"),
        (LINK, {"interface": "eth\udce9"}, "expected a name"),
        (LINK, {"interface": "x" * 300}, "expected a name"),
        (LINK, {"interface": Word("eth0")}, "expected a name"),
        (GONE, {"interface": ["eth0"]}, "with interface=['eth0']; expected a name"),
        (GONE, {"index": 10**30}, "expected the interface's index"),
        (GONE, {"index": True}, "expected the interface's index"),
        (HAS, {"label": None}, "expected a name"),
        (HAS, {"address": "2001:DB8::1"}, "expected an address as `ipaddress` writes it"),
        (HAS, {"address": b"\x0a\x00\x00\x01"}, "expected an address"),
        (HAS, {"prefix_length": "64"}, "expected a number of bits"),
        (HAS, {"family": 4}, "of 2001:db8::1 with family=4"),
        (LOST, {"family": 10}, "with family=10; expected 4 or 6"),
        (LOST, {"address": "nowhere"}, "with address='nowhere'"),
    ],
)
def test_what_is_not_as_the_event_says_is_told(
    event: NetworkEvent, change: dict[str, Any], message: str
) -> None:
    assert message in network_fault_of(replace(event, **change))
