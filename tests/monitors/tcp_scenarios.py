"""What is tried on a real kernel with TCP. `test_kernel` runs each in a network namespace of its own."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from monitors.diag import TcpDetails
from monitors.events import Event, FactMeasured
from monitors.surroundings import WatchedConnection
from monitors.tcp import LIFETIME_S, TcpMonitor
from monitors.tcp_readers import DiagReader, ProcReader, Reader
from monitors.testing import FakeSurroundings
from tests.monitors.kernel import check_on_this_kernel, ip, watching
from tests.monitors.neighbour import Neighbour, neighbour
from tests.monitors.watched import of_socket

TICK_US = 10_000
"""What ``/proc/net/tcp`` rounds to."""

KINDS = [
    (family, peer, bound)
    for family, peer in (
        (socket.AF_INET, "10.7.0.2"),
        (socket.AF_INET6, "fd07::2"),
        (socket.AF_INET6, "::ffff:10.7.0.2"),
    )
    for bound in (False, True)
]
"""Address family, peer, and whether the socket is bound to its link, as those are that were moved."""


@contextmanager
def connected() -> Iterator[tuple[Neighbour, list[socket.socket]]]:
    """Connect to a neighbour by ``eth0`` in every way there is."""
    with ExitStack() as stack:
        far = stack.enter_context(neighbour())
        ip(
            "link add eth0 type veth peer name far",
            "addr add 10.7.0.1/24 dev eth0",
            "addr add fd07::1/64 dev eth0 nodad",
            "link set eth0 up",
            f"link set far netns {far.pid}",
        )
        for command in (
            "addr add 10.7.0.2/24 dev far",
            "addr add fd07::2/64 dev far nodad",
            "link set far up",
        ):
            far.ip(command)
        yield far, [stack.enter_context(connect(far, *kind)) for kind in KINDS]


def connect(far: Neighbour, family: int, peer: str, bound: bool) -> socket.socket:
    sock = socket.socket(family)
    if bound:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sock.settimeout(60.0)
    sock.connect((peer, far.port))
    return sock


def read(reader: Reader, connections: list[WatchedConnection]) -> dict[int, TcpDetails]:
    reader.watch(connections)
    return {inode: details for some in reader.read() for inode, details in some}


async def both_readers() -> None:
    """Both ways of reading say the same of calm connections, and of those that retransmit in vain."""
    with connected() as (far, sockets):
        connections = [of_socket(sock, "eth0") for sock in sockets]
        by_diag, by_proc = DiagReader(), ProcReader()
        assert len(read(by_diag, connections)) == len(KINDS)
        most = 0
        for cut in (False, True):
            if cut:
                far.ip("link set far down")
            for sock in sockets:
                sock.send(b"x" * 5000)
            async with asyncio.timeout(60.0):
                while not cut and any(one.unacked for one in read(by_diag, connections).values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            for _ in range(8):
                await asyncio.sleep(0.15)
                for _ in range(10):  # a retransmission may come between the two
                    before = read(by_diag, connections)
                    listed = read(by_proc, connections)
                    if read(by_diag, connections) == before:
                        break
                compare(before, listed, cut=cut)
                most = max(most, *(details.retransmits for details in before.values()))
        assert most >= 2
        for sock in sockets[1:]:
            sock.close()
        assert list(read(by_diag, connections)) == [connections[0].inode]
        assert list(read(by_proc, connections)) == [connections[0].inode]


def compare(asked: dict[int, TcpDetails], listed: dict[int, TcpDetails], *, cut: bool) -> None:
    assert asked.keys() == listed.keys()
    for inode, details in asked.items():
        assert details.retransmits == listed[inode].retransmits
        assert 0 <= details.rto_us - listed[inode].rto_us < TICK_US
        assert details.rtt_us > 0
        assert (details.unacked > 0) is cut
        assert details.backoff == details.retransmits


async def retransmission() -> None:
    """The monitor tells of a cut cable by retransmissions, and of its repair."""
    with connected() as (far, sockets):
        around = FakeSurroundings()
        connections = [of_socket(sock, "eth0") for sock in sockets]
        around.set(connections=connections)
        for source in (DiagReader, ProcReader):
            monitor = TcpMonitor(around, open_reader=lambda _, source=source: source())  # type: ignore[misc]
            async with watching(monitor) as watch:
                for connection in connections:
                    await watch.recorder.wait_for(partial(retransmits, connection=connection, least=0))
                start = len(watch.recorder.events)
                far.ip("link set far down")
                for sock in sockets:
                    sock.send(b"x" * 5000)
                for connection in connections:
                    trouble = partial(retransmits, connection=connection, least=1)
                    event = await watch.recorder.wait_for(trouble, start=start, timeout_s=60.0)
                    assert isinstance(event, FactMeasured)
                    assert event.lifetime_s == LIFETIME_S
                start = len(watch.recorder.events)
                far.ip("link set far up")
                far.ip("addr replace fd07::2/64 dev far nodad")  # IPv6 addresses go with the link
                for connection in connections:
                    calm = partial(retransmits, connection=connection, least=0, most=0)
                    event = await watch.recorder.wait_for(calm, start=start, timeout_s=90.0)
                    assert isinstance(event, FactMeasured)
                    assert event.lifetime_s is None
            facts = {event.fact for event in watch.recorder.events if isinstance(event, FactMeasured)}
            assert facts >= {"rto", "retransmits"}
            assert ("tcp.rtt" in facts) is (source is DiagReader)


def retransmits(event: Event, connection: WatchedConnection, least: int, most: int = 99) -> bool:
    return (
        isinstance(event, FactMeasured)
        and event.fact == "retransmits"
        and (event.session, event.connection) == (connection.session, connection.connection)
        and isinstance(event.value, int | float)
        and least <= event.value <= most
    )


async def tcp_contract() -> None:
    """The monitor keeps the contract with a real connection."""
    ip("link set lo up")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        around = FakeSurroundings()
        around.set(connections=[of_socket(client)])
        recorder = await check_on_this_kernel(lambda: TcpMonitor(around), run_s=0.1)
        assert {event.fact for event in recorder.events if isinstance(event, FactMeasured)} >= {
            "rto",
            "tcp.rtt",
        }


SCENARIOS: dict[str, Callable[[], Coroutine[None, None, None]]] = {
    scenario.__name__: scenario for scenario in (both_readers, retransmission, tcp_contract)
}

if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[1]]())
