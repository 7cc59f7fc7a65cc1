"""What is tried on a real kernel. ``test_kernel`` runs each in a network namespace of its own::

    unshare -Urn python -m tests.monitors.scenarios cable

A scenario ends well or with an assertion.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from itertools import pairwise

from monitors.address import AddressMonitor
from monitors.carrier import CarrierMonitor
from monitors.discovery import discover
from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, LinkState, OperState
from monitors.host import MonitorHost
from monitors.netlink import Feed, read_addresses, read_links
from tests.monitors.kernel import (
    Watch,
    asked,
    check_on_this_kernel,
    eth0,
    gone,
    ip,
    pair,
    present,
    switch,
    watching,
)

CUTS = 20
LONGEST_S = 0.005
"""From a cut cable to its report."""


async def cable() -> None:
    """A cut is reported within milliseconds, plugging in again too, deletion as gone."""
    pair()
    delays: list[float] = []
    async with watching(CarrierMonitor()) as watch:
        await watch.recorder.wait_for(partial(eth0, usable=True))
        for _ in range(CUTS):
            began = time.monotonic()
            lost = await watch.after(partial(switch, "far", up=False), partial(eth0, usable=False))
            delays.append(time.monotonic() - began)
            assert isinstance(lost, LinkState)
            assert (lost.up, lost.carrier, lost.operstate) == (True, False, OperState.LOWER_LAYER_DOWN)
            await watch.after(partial(switch, "far", up=True), partial(eth0, usable=True))
        down = await watch.after(partial(ip, "link set eth0 down"), partial(eth0, usable=False))
        assert isinstance(down, LinkState)
        assert not down.up
        await watch.after(
            partial(ip, "link del eth0"), lambda e: isinstance(e, LinkGone) and e.interface == "eth0"
        )
        again = partial(ip, "link add eth0 type veth peer name far", "link set eth0 up")
        known = await watch.after(again, lambda e: isinstance(e, FactMeasured) and e.interface == "eth0")
        assert isinstance(known, FactMeasured)
        assert (known.fact, known.value) == ("flaps", CUTS + 1.0)  # and when it was switched off
        per_link = [[e for e in watch.recorder.events if e.interface == name] for name in ("eth0", "far")]
        assert all(a != b for events in per_link for a, b in pairwise(events))
    median, longest = statistics.median(delays) * 1e3, max(delays) * 1e3
    sys.stdout.write(f"cut to report: median {median:.2f} ms, longest {longest:.2f} ms\n")
    # The shortest, because other programs on the machine can only make it longer.
    assert min(delays) <= LONGEST_S, delays


async def ports() -> None:
    """A port that leaves its bridge is not gone; a renamed link is, under its old name."""
    pair()
    async with watching(CarrierMonitor()) as watch:
        await watch.recorder.wait_for(partial(eth0, usable=True))
        ip("link add br0 type bridge", "link set eth0 master br0", "link set eth0 nomaster")
        await watch.after(
            partial(ip, "link set eth0 down", "link set eth0 name wan0"),
            lambda e: isinstance(e, LinkState) and e.interface == "wan0",
        )
        assert [e.interface for e in watch.recorder.events if isinstance(e, LinkGone)] == ["eth0"]


async def addresses() -> None:
    """Added, labelled, tentative, deprecated, of narrow scope, removed, renamed, deleted."""
    pair()
    async with watching(AddressMonitor()) as watch:
        add = partial(ip, "addr add 10.0.0.1/24 dev eth0 label eth0:1")
        event = await watch.after(add, partial(present, address="10.0.0.1"))
        assert isinstance(event, AddressPresent)
        assert (event.interface, event.label, event.prefix_length, event.family) == ("eth0", "eth0:1", 24, 4)
        await watch.after(partial(ip, "addr del 10.0.0.1/24 dev eth0"), partial(gone, address="10.0.0.1"))
        narrow = partial(present, address="10.0.0.2", usable=False)
        await watch.after(partial(ip, "addr add 10.0.0.2/24 dev eth0 scope link"), narrow)
        await watch.after(partial(ip, "link set lo up"), partial(present, address="127.0.0.1", usable=False))

        tentative = partial(present, address="fd00::1", usable=False)
        start = len(watch.recorder.events)
        event = await watch.after(partial(ip, "addr add fd00::1/64 dev eth0"), tentative)
        assert isinstance(event, AddressPresent)
        assert (event.label, event.prefix_length, event.family) == ("eth0", 64, 6)
        await watch.recorder.wait_for(partial(present, address="fd00::1"), start=start)
        old = partial(ip, "addr change fd00::1/64 dev eth0 preferred_lft 0")
        await watch.after(old, partial(present, address="fd00::1", usable=False))

        await watch.after(
            partial(ip, "link set eth0 down", "link set eth0 name wan0"),
            lambda e: isinstance(e, AddressPresent) and (e.interface, e.address) == ("wan0", "10.0.0.2"),
        )
        start = len(watch.recorder.events)
        await watch.after(partial(ip, "link del wan0"), partial(gone, address="10.0.0.2"))
        assert {a.interface for a in watch.addresses()} <= {"lo", "far"}


ADDRESSES = 3000
LINKS = 100


async def overrun() -> None:
    """After ENOBUFS what was added, removed and deleted unseen is reported, and news goes on."""
    pair()
    old = [f"addr add 10.9.{n // 250}.{n % 250}/32 dev far" for n in range(500)]
    ip("addr add 10.200.0.1/24 dev eth0", "link add gone0 type bridge", "link set gone0 up", *old)
    links, addresses = Feed(addresses=False, receive_buffer=1), Feed(addresses=True, receive_buffer=1)
    carrier, address = CarrierMonitor(lambda: links), AddressMonitor(lambda: addresses)
    async with watching(carrier) as of_links, watching(address) as of_addresses:
        await of_addresses.recorder.wait_for(partial(present, address="10.9.1.249"))
        await of_links.recorder.wait_for(lambda e: isinstance(e, LinkState) and e.interface == "gone0")
        storm = [f"addr add 10.{n // 250}.{n % 250}.1/32 dev eth0" for n in range(ADDRESSES)]
        taken = [command.replace("addr add", "addr del") for command in (*old[::2], *storm[::3])]
        made = [f"link add new{n} type bridge" for n in range(LINKS)]
        ip(*storm, *made, *taken, "link del gone0", *(f"link set new{n} up" for n in range(LINKS)))
        ip("addr del 10.200.0.1/24 dev eth0", *(f"link del new{n}" for n in range(0, LINKS, 2)))
        await of_addresses.recorder.wait_for(partial(gone, address="10.200.0.1"), timeout_s=60.0)
        await of_links.recorder.wait_for(lambda e: isinstance(e, LinkGone) and e.interface == "gone0")
        assert addresses.overruns > 0
        assert links.overruns > 0
        # News goes on; and what comes after the storm is heard after what came before.
        last = partial(ip, "addr add 10.200.0.2/24 dev eth0")
        await of_addresses.after(last, partial(present, address="10.200.0.2"))
        cut = partial(switch, "far", up=False)
        await of_links.after(cut, partial(eth0, usable=False))
        async with asyncio.timeout(60.0):  # IPv6 addresses become usable after a while
            while not await same_as_the_kernel(of_links, of_addresses):  # noqa: ASYNC110 - the kernel sets no event
                await asyncio.sleep(0.1)


async def same_as_the_kernel(of_links: Watch, of_addresses: Watch) -> bool:
    """Return whether what was reported is what the kernel says to us, and to others."""
    told = {(a.interface, a.address, a.prefix_length) for a in of_addresses.addresses()}
    names = {link.interface for link in of_links.links()}
    shown = asked("addr")
    return (
        of_addresses.addresses() == set(await read_addresses())
        and of_links.links() == set(await read_links())
        and names == {link["ifname"] for link in shown}
        and told
        == {(link["ifname"], one["local"], one["prefixlen"]) for link in shown for one in link["addr_info"]}
    )


async def renewal() -> None:
    """A lease that is renewed changes nothing; one that runs out does, and so does its return."""
    pair()
    lease = "addr replace {} dev eth0 valid_lft {} preferred_lft {}"
    both = ("10.0.0.1/24", "fd00::1/64")
    async with watching(AddressMonitor()) as watch:
        start = partial(ip, *(lease.format(one, 600, 300) for one in both))
        await watch.after(start, partial(present, address="fd00::1"))
        before = len(watch.recorder.events)
        ip(*(lease.format(one, seconds, seconds // 2) for seconds in (500, 3600) for one in both))
        # Whatever a renewal said would have been told before this.
        mark = partial(present, address="10.0.0.9")
        await watch.after(partial(ip, "addr add 10.0.0.9/32 dev eth0"), mark)
        # The kernel goes on meanwhile to find the links' own addresses usable.
        renewed = {one.split("/")[0] for one in both}
        later = [e for e in watch.recorder.events[before:] if isinstance(e, AddressPresent | AddressGone)]
        assert [e for e in later if e.address in renewed] == []
        for one in both:
            address = one.split("/")[0]
            for preferred, usable in ((0, False), (300, True)):
                change = partial(ip, lease.format(one, 600, preferred))
                await watch.after(change, partial(present, address=address, usable=usable))


async def restart() -> None:
    """What vanished while a monitor did not run is reported by its next run."""
    pair()
    ip("addr add 10.0.0.1/24 dev eth0")
    carrier, address = CarrierMonitor(), AddressMonitor()
    async with watching(carrier) as of_links, watching(address) as of_addresses:
        await of_links.recorder.wait_for(partial(eth0, usable=True))
        await of_addresses.recorder.wait_for(partial(present, address="10.0.0.1"))
    ip("link del eth0")
    async with watching(carrier) as of_links, watching(address) as of_addresses:
        await of_links.recorder.wait_for(lambda e: isinstance(e, LinkGone) and e.interface == "eth0")
        await of_addresses.recorder.wait_for(partial(gone, address="10.0.0.1"))


async def dumps() -> None:
    """One question, one answer."""
    pair()
    ip("addr add 10.0.0.1/24 dev eth0 label eth0:x", "addr add fd00::1/64 dev eth0 nodad")
    links = {link.interface: link for link in await read_links()}
    assert links.keys() >= {"lo", "eth0", "far"}
    assert links["lo"].loopback
    assert not links["eth0"].loopback
    assert links["eth0"].up
    found = {(a.address, a.label, a.usable) for a in await read_addresses()}
    assert found >= {("10.0.0.1", "eth0:x", True), ("fd00::1", "eth0", True)}


async def contract() -> None:
    """The built-in monitors keep the contract on a real kernel."""
    ip("link set lo up")
    for make in (CarrierMonitor, AddressMonitor):
        recorder = await check_on_this_kernel(make, run_s=0.5)
        assert recorder.events


async def host() -> None:
    """The installed monitors run under the host and tell of a lost cable and a lost address."""
    pair()
    ip("addr add 10.0.0.1/24 dev eth0")
    seen: list[Event] = []

    async def until(wanted: Iterable[Callable[[Event], bool]]) -> None:
        async with asyncio.timeout(60.0):
            async for events in running:
                seen.extend(events)
                if all(any(want(event) for event in seen) for want in wanted):
                    return

    async with MonitorHost(discover(plugins=False)) as running:
        await until([partial(eth0, usable=True), partial(present, address="10.0.0.1")])
        seen.clear()
        ip("link set far down", "addr del 10.0.0.1/24 dev eth0")
        await until([partial(eth0, usable=False), partial(gone, address="10.0.0.1")])
        status = running.status()
    counts = {monitor.name: (monitor.events, monitor.failures) for monitor in status.monitors}
    assert all(counts[name][0] > 0 for name in ("address", "carrier", "clock", "route"))
    assert not any(failures for _, failures in counts.values()), counts


SCENARIOS: dict[str, Callable[[], Coroutine[None, None, None]]] = {
    scenario.__name__: scenario
    for scenario in (cable, ports, addresses, renewal, overrun, restart, dumps, contract, host)
}

if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[1]]())
