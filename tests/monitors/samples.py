"""Values that several tests of the monitors use."""

from __future__ import annotations

from monitors.events import AddressGone, AddressPresent, LinkState, OperState


def link(
    index: int = 2,
    interface: str = "eth0",
    *,
    up: bool = True,
    carrier: bool = True,
    operstate: OperState = OperState.UP,
) -> LinkState:
    return LinkState(interface=interface, index=index, up=up, carrier=carrier, operstate=operstate)


def cut(index: int = 2, interface: str = "eth0") -> LinkState:
    return link(index, interface, carrier=False, operstate=OperState.LOWER_LAYER_DOWN)


def address(
    text: str = "10.0.0.1",
    index: int = 2,
    interface: str = "eth0",
    *,
    prefix_length: int = 24,
    usable: bool = True,
) -> AddressPresent:
    return AddressPresent(
        interface=interface,
        index=index,
        label=interface,
        address=text,
        prefix_length=prefix_length,
        family=6 if ":" in text else 4,
        usable=usable,
    )


def gone(present: AddressPresent) -> AddressGone:
    return AddressGone(
        interface=present.interface, index=present.index, address=present.address, family=present.family
    )
