"""What is tried on a real kernel. ``test_kernel`` runs each in a network namespace of its own::

    unshare -Urn python -m tests.monitors.scenarios cable

A scenario ends well or with an assertion.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

from monitors.address import AddressMonitor
from monitors.carrier import CarrierMonitor
from monitors.discovery import discover
from monitors.events import AddressGone, AddressPresent, Event, LinkGone, LinkState, OperState
from monitors.host import MonitorHost
from monitors.netlink import Feed, read_addresses, read_links
from monitors.spec import Monitor
from monitors.testing import Recorder, check_monitor

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
CUTS = 20
LONGEST_S = 0.005
"""From a cut cable to its report."""


def ip(*commands: str) -> None:
    """Run ``ip`` commands in one process. It blocks the event loop, so nothing is read meanwhile."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def switch(interface: str, *, up: bool) -> None:
    """Set an interface up or down without starting a process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", interface.encode(), 0)
        (flags,) = struct.unpack("16xH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", interface.encode(), flags))


def pair() -> None:
    """Make the link that is watched, ``eth0``; ``far`` is the other end of its cable."""
    ip("link add eth0 type veth peer name far", "link set eth0 up", "link set far up")


class Watch:
    """What a running monitor has reported."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    async def after(self, action: Callable[[], None], wanted: Callable[[Event], bool]) -> Event:
        """Do something and return the first event from then on that is ``wanted``."""
        start = len(self.recorder.events)
        action()
        return await self.recorder.wait_for(wanted, start=start, timeout_s=10.0)

    def addresses(self) -> set[AddressPresent]:
        """Return the addresses that exist according to all reports so far."""
        world: dict[tuple[int, str], AddressPresent] = {}
        for event in self.recorder.events:
            if isinstance(event, AddressPresent):
                world[event.index, event.address] = event
            elif isinstance(event, AddressGone):
                del world[event.index, event.address]
        return set(world.values())


@asynccontextmanager
async def watching(monitor: Monitor) -> AsyncIterator[Watch]:
    recorder = Recorder()
    task = asyncio.create_task(monitor.run(recorder))
    try:
        yield Watch(recorder)
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled(), "the monitor failed"


def eth0(event: Event, *, usable: bool) -> bool:
    return isinstance(event, LinkState) and event.interface == "eth0" and event.usable is usable


def present(event: Event, address: str, *, usable: bool = True) -> bool:
    return isinstance(event, AddressPresent) and (event.address, event.usable) == (address, usable)


def gone(event: Event, address: str) -> bool:
    return isinstance(event, AddressGone) and event.address == address


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


async def overrun() -> None:
    """After ENOBUFS what was added, removed and deleted unseen is reported, and news goes on."""
    pair()
    ip(
        "addr add 10.9.0.1/24 dev eth0",
        "addr add 10.9.1.1/24 dev far",
        "link add gone0 type veth peer name gone1",
    )
    links, addresses = Feed(addresses=False, receive_buffer=1), Feed(addresses=True, receive_buffer=1)
    carrier, address = CarrierMonitor(lambda: links), AddressMonitor(lambda: addresses)
    async with watching(carrier) as of_links, watching(address) as of_addresses:
        await of_addresses.recorder.wait_for(partial(present, address="10.9.0.1"))
        await of_links.recorder.wait_for(lambda e: e.interface == "gone0")
        storm = [f"addr add 10.{n // 250}.{n % 250}.1/32 dev eth0" for n in range(400)]
        flaps = [f"link set gone0 mtu {1000 + n}" for n in range(200)]
        ip(*storm, "addr del 10.9.0.1/24 dev eth0", *flaps, "link del gone0")
        await of_addresses.recorder.wait_for(partial(gone, address="10.9.0.1"), timeout_s=20.0)
        await of_links.recorder.wait_for(lambda e: isinstance(e, LinkGone) and e.interface == "gone0")
        assert addresses.overruns > 0
        assert links.overruns > 0
        last = partial(ip, "addr add 10.8.0.1/24 dev eth0")
        await of_addresses.after(last, partial(present, address="10.8.0.1"))
        cut = partial(switch, "far", up=False)
        await of_links.after(cut, partial(eth0, usable=False))
        assert {a for a in of_addresses.addresses() if a.family == 4} == {
            a for a in await read_addresses() if a.family == 4
        }


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
        recorder = await check_monitor(make, run_s=0.5)
        assert recorder.events


async def host() -> None:
    """The installed monitors run under the host and tell of a lost cable and a lost address."""
    pair()
    ip("addr add 10.0.0.1/24 dev eth0")
    seen: list[Event] = []

    async def until(wanted: Iterable[Callable[[Event], bool]]) -> None:
        async with asyncio.timeout(10.0):
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
    assert [(m.name, m.failures) for m in status.monitors] == [("address", 0), ("carrier", 0), ("clock", 0)]
    assert all(m.events > 0 for m in status.monitors)


SCENARIOS: dict[str, Callable[[], Coroutine[None, None, None]]] = {
    scenario.__name__: scenario
    for scenario in (cable, ports, addresses, overrun, restart, dumps, contract, host)
}

if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[1]]())
