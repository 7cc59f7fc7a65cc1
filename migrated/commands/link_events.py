"""The links that `migrate policy explain` reckons with: those given, else those of this host."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import click

from migrated.authoring.described import address_present, interface_of, link_state
from monitors.events import AddressPresent, Event, LinkState

_GIVE_LINKS = "give each as `--link NAME=ADDRESS`"


def given_links(links: Sequence[str]) -> list[Event]:
    """Return the events of links that are up, from options ``NAME=ADDRESS``.

    Raises:
        click.BadParameter: One is not of that form, or an address is given twice.
    """
    indexes: dict[str, int] = {}
    events: list[Event] = []
    for address, name in _places(links).items():
        interface = interface_of(name)
        index = indexes.setdefault(interface, len(indexes) + 1)
        events += [link_state(interface, index, up=True), address_present(name, index, address)]
    return events


def host_links() -> list[Event]:
    """Return the events of this host's usable links and of their usable addresses.

    Raises:
        click.UsageError: There are none, or the kernel does not tell them.
    """
    try:
        links, addresses = _read_host()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.UsageError(f"cannot read the links of this host: {reason}; {_GIVE_LINKS}") from error
    usable = {link.index: link for link in links if link.usable and not link.loopback}
    present = [address for address in addresses if address.usable and address.index in usable]
    if not present:
        raise click.UsageError(f"this host has no usable link with an address; {_GIVE_LINKS}")
    return [*usable.values(), *present]


def described(events: Sequence[Event]) -> str:
    """Return the addresses among the events in the form of the option: ``eth0=10.0.0.5, ...``."""
    present = (event for event in events if isinstance(event, AddressPresent))
    return ", ".join(f"{event.label or event.interface}={event.address}" for event in present)


def _read_host() -> tuple[tuple[LinkState, ...], tuple[AddressPresent, ...]]:
    import asyncio

    from monitors.netlink import read_addresses, read_links

    async def read() -> tuple[tuple[LinkState, ...], tuple[AddressPresent, ...]]:
        return await read_links(), await read_addresses()

    return asyncio.run(read())


def _places(links: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=ADDRESS`` options to a dictionary address -> name."""
    places: dict[str, str] = {}
    for text in links:
        name, equals, address = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"`{text}` is not NAME=ADDRESS", param_hint="'--link'")
        try:
            canonical = str(ip_address(address))
        except ValueError:
            message = f"in `{text}`: `{address}` is not an address"
            raise click.BadParameter(message, param_hint="'--link'") from None
        if canonical in places:
            message = f"the address {canonical} is given to `{places[canonical]}` and to `{name}`"
            raise click.BadParameter(message, param_hint="'--link'")
        places[canonical] = name
    return places
