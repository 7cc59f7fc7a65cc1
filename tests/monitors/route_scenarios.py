"""What is tried on a real kernel with routes. `test_kernel` runs each in a network namespace of its own."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from functools import partial

from monitors.events import Event, FactMeasured
from monitors.fib import RoutingTables
from monitors.route import SETTLE_S, RouteMonitor
from monitors.surroundings import Solitude
from monitors.testing import FakeSurroundings
from tests.monitors.kernel import asked, check_on_this_kernel, ip, watching
from tests.monitors.watched import path

FAR = "9.9.9.9"  # no neighbour of anybody
FAR6 = "2001:db8::9"
ROUTES = 5000


def links() -> None:
    """Make two links with addresses of both families, and no default route."""
    ip("link set lo up")
    for number, name in ((1, "eth0"), (2, "wan0")):
        ip(
            f"link add {name} type veth peer name {name}-far",
            f"link set {name} up",
            f"link set {name}-far up",
            f"addr add 10.{number}.0.1/24 dev {name}",
            f"addr add fd0{number}::1/64 dev {name} nodad",
        )


def answers(tables: RoutingTables, peer: str) -> tuple[bool, bool]:
    """Return whether a peer is reached through ``eth0``, and whether through ``wan0``."""
    index = {name: number for number, name in tables.link_names().items()}
    local = "fd0{}::1" if ":" in peer else "10.{}.0.1"
    eth0, wan0 = (
        tables.leads_to(peer, index[name], local.format(number))
        for number, name in ((1, "eth0"), (2, "wan0"))
    )
    return eth0, wan0


def defaults(tables: RoutingTables) -> set[str]:
    names = tables.link_names()
    return {names[index] for some in tables.default_links() for index in some}


def known(tables: RoutingTables) -> tuple[set[str], tuple[bool, bool], tuple[bool, bool]]:
    return defaults(tables), answers(tables, FAR), answers(tables, FAR6)


def connects(local: str, interface: str) -> bool:
    """Return whether a socket that is bound to a link finds a route to the far IPv6 address."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        bound.bind((local, 0))
        return bound.connect_ex((FAR6, 9)) == 0


async def tables() -> None:
    """What the kernel says of each kind of route, and of none."""
    links()
    with closing(RoutingTables()) as kernel:
        try_routes(kernel)


def try_routes(kernel: RoutingTables) -> None:
    assert (defaults(kernel), answers(kernel, FAR), answers(kernel, FAR6)) == (
        set(),
        (False,) * 2,
        (False,) * 2,
    )
    assert (answers(kernel, "10.1.0.9"), answers(kernel, "fd02::9")) == ((True, False), (False, True))
    assert answers(kernel, "10.1.0.1") == (False, False)  # this host itself

    ip("route add default via 10.1.0.9", "route add ::/0 via fd02::9")
    assert known(kernel) == ({"eth0", "wan0"}, (True, False), (False, True))
    for kind in ("unreachable", "blackhole", "prohibit", "throw"):
        ip(f"route add {kind} {FAR}/32", f"route add {kind} {FAR6}/128")
        assert answers(kernel, FAR) == (False, False), kind
        # IPv6 passes over it for a socket that is bound to a link, as those of sessions are.
        assert answers(kernel, FAR6) == (connects("fd01::1", "eth0"), connects("fd02::1", "wan0")), kind
        ip(f"route del {kind} {FAR}/32", f"route del {kind} {FAR6}/128")

    ip("route replace default nexthop via 10.1.0.9 dev eth0 nexthop via 10.2.0.9 dev wan0")
    ip("route replace ::/0 nexthop via fd01::9 dev eth0 nexthop via fd02::9 dev wan0")
    assert known(kernel) == ({"eth0", "wan0"}, (True, True), (True, True))
    ip("route del default", "route del ::/0")
    ip("route add unreachable default metric 9", "route add blackhole ::/0 metric 9")
    assert (defaults(kernel), answers(kernel, FAR), answers(kernel, FAR6)) == (
        set(),
        (False,) * 2,
        (False,) * 2,
    )

    # A table of its own for what comes from one address, as hosts with several links have it.
    ip("rule add from 10.2.0.1 lookup 100", "route add default via 10.2.0.9 dev wan0 table 100")
    ip("rule add from fd02::1 lookup 100", "route add ::/0 via fd02::9 dev wan0 table 100", family=6)
    assert (defaults(kernel), answers(kernel, FAR), answers(kernel, FAR6)) == (
        set(),
        (False, True),
        (False, True),
    )
    kernel.close()


def says(event: Event, fact: str, value: bool | None, interface: str, peer: str = "") -> bool:
    return isinstance(event, FactMeasured) and (event.fact, event.value, event.interface, event.peer) == (
        fact,
        value,
        interface,
        peer,
    )


async def routes() -> None:
    """A default route that comes and goes, a peer that comes, a link that goes."""
    links()
    around = FakeSurroundings()
    async with watching(RouteMonitor(around)) as watch:
        await watch.recorder.wait_for(partial(says, fact="default-route", value=False, interface="eth0"))
        start = len(watch.recorder.events)
        around.set(paths=[path("eth0", FAR, "10.1.0.1")])
        reached = partial(says, fact="reachable", interface="eth0", peer=FAR)
        await watch.recorder.wait_for(partial(reached, value=False), start=start)
        leads_out = partial(says, fact="default-route", interface="eth0")
        await watch.after(partial(ip, "route add default via 10.1.0.9"), partial(leads_out, value=True))
        await watch.recorder.wait_for(partial(reached, value=True), start=start)
        # The routes of a link that is switched off vanish without a word.
        await watch.after(partial(ip, "link set eth0 down"), partial(leads_out, value=False))
        ip("link set eth0 up")
        await watch.after(partial(ip, "route add default via 10.1.0.9"), partial(reached, value=True))
        start = len(watch.recorder.events)
        ip("link del eth0", "link add eth0 type veth peer name eth0-far")
        await watch.recorder.wait_for(partial(leads_out, value=False), start=start)
        await watch.recorder.wait_for(partial(reached, value=False), start=start)
        await watch.after(partial(around.set, paths=()), partial(reached, value=None))


async def burst() -> None:
    """Thousands of routes overrun the news; what is known afterwards is what the kernel knows."""
    links()
    opened: list[RoutingTables] = []

    def open_tables() -> RoutingTables:
        opened.append(RoutingTables())
        return opened[-1]

    around = FakeSurroundings()
    around.set(paths=[path("eth0", FAR, "10.1.0.1"), path("wan0", FAR, "10.2.0.1")])
    monitor = RouteMonitor(around, open_tables=open_tables)
    async with watching(monitor) as watch:
        start = partial(says, fact="reachable", value=False, interface="wan0", peer=FAR)
        await watch.recorder.wait_for(start)
        looks, began = monitor.looks, time.monotonic()
        many = [f"route add 172.16.{n // 250}.{n % 250}/32 via 10.1.0.9" for n in range(ROUTES)]
        last = "route add default via 10.2.0.9"
        await asyncio.to_thread(ip, *many[::2])
        ip(*many[1::2], last, "link del eth0-far")  # nobody reads meanwhile
        await watch.recorder.wait_for(partial(start, value=True), timeout_s=60.0)
        await watch.after(
            partial(ip, "route del default"),
            partial(says, fact="default-route", value=False, interface="wan0"),
        )
        assert opened[0].overruns > 0
        # Each look rests ten times as long as it took, and SETTLE_S at least.
        assert monitor.looks - looks <= 2 + (time.monotonic() - began) / SETTLE_S
        leading = {e.interface for e in watch.recorder.events if isinstance(e, FactMeasured) and e.value}
        sys.stdout.write(f"{monitor.looks - looks} looks, {opened[0].overruns} overruns\n")
        assert leading == {"wan0"}
        assert {"wan0", "wan0-far", "lo"} == {link["ifname"] for link in asked("link")}


async def routes_contract() -> None:
    """The monitor keeps the contract on a real kernel."""
    ip("link set lo up")
    recorder = await check_on_this_kernel(lambda: RouteMonitor(Solitude()), run_s=0.3)
    assert recorder.events == [FactMeasured(fact="default-route", value=False, interface="lo")]


SCENARIOS: dict[str, Callable[[], Coroutine[None, None, None]]] = {
    scenario.__name__: scenario for scenario in (tables, routes, burst, routes_contract)
}

if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[1]]())
