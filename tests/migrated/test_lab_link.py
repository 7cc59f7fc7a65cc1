from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from migrated.lab import SERVER_V4, SERVER_V6, Host, Lab, LabError, TwoLinks, is_privileged, two_links

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

PATIENCE_S = 60.0
BUILD_LIMIT_S = 1.0
CARRIER_LIMIT_S = 0.5  # the kernel's slow way of telling takes up to 1 s


@pytest.fixture(scope="module")
def net() -> Iterator[TwoLinks]:
    with Lab() as lab:
        yield two_links(lab, names=("eth0", "wlan0"))


def within(limit_s: float, condition: Callable[[], bool]) -> bool:
    """Ask again and again until the condition holds, or still does not when the time is over.

    An answer that was asked for in time and came late, as on a busy machine, says nothing.
    """
    deadline = time.monotonic() + limit_s
    while True:
        asked_at = time.monotonic()
        if condition():
            return True
        if asked_at > deadline:
            return False


def operstate(host: Host, interface: str) -> str:
    return str(host.show("link", "show", "dev", interface)[0]["operstate"])


def connection(net: TwoLinks, address: str) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with net.server.call(lambda: socket.create_server((address, 0), family=family)) as listener:
        target = listener.getsockname()[:2]
        client = net.client.call(lambda: socket.create_connection(target, timeout=PATIENCE_S))
        server, _ = listener.accept()
    server.settimeout(PATIENCE_S)
    return client, server


def test_two_links_are_built_quickly() -> None:
    took_s = []
    for _ in range(10):
        start = time.monotonic()
        with Lab() as lab:
            two_links(lab)
            took_s.append(time.monotonic() - start)
        if took_s[-1] < BUILD_LIMIT_S:
            break
    assert min(took_s) < BUILD_LIMIT_S  # the smallest: the machine may be busy with something else


@pytest.mark.parametrize("address", [SERVER_V4, SERVER_V6])
def test_the_server_is_reached_over_the_preferred_link(net: TwoLinks, address: str) -> None:
    client, server = connection(net, address)
    with client, server:
        client.sendall(b"hello")
        assert server.recv(5) == b"hello"
        assert server.getpeername()[0] in (net.links[0].v4, net.links[0].v6)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("address", [SERVER_V4, SERVER_V6])
def test_the_server_is_reached_over_each_link(net: TwoLinks, address: str, number: int) -> None:
    link = net.links[number]
    with net.server.call(
        lambda: socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    ) as end:

        def connect() -> socket.socket:
            client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            client.settimeout(PATIENCE_S)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.interface.encode())
            client.connect((address, end.getsockname()[1]))
            return client

        with net.client.call(connect) as client:
            assert client.getsockname()[0] in (link.v4, link.v6)


def test_a_cut_takes_the_carrier_at_both_ends_and_no_address(net: TwoLinks) -> None:
    link = net.links[0]
    before = [net.client.show("address"), net.router.show("address")]
    link.cut()
    assert not net.client.carrier("eth0")
    assert not net.router.carrier("l1")
    assert within(CARRIER_LIMIT_S, lambda: operstate(net.client, "eth0") == "DOWN")
    assert net.client.carrier("wlan0")
    assert addresses(net.client, "eth0") == {link.v4, link.v6}
    link.plug()
    assert net.client.carrier("eth0")
    assert within(CARRIER_LIMIT_S, lambda: operstate(net.client, "eth0") == "UP")
    assert within(CARRIER_LIMIT_S, lambda: [net.client.show("address"), net.router.show("address")] == before)


def addresses(host: Host, interface: str) -> set[str]:
    shown = host.show("address", "show", "dev", interface)[0]["addr_info"]
    return {entry["local"] for entry in shown if entry["scope"] == "global"}


def test_a_connection_waits_out_a_short_cut(net: TwoLinks) -> None:
    client, server = connection(net, SERVER_V4)
    with client, server:
        net.links[0].cut()
        client.sendall(b"late")
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.recv(4)
        net.links[0].plug()
        server.settimeout(PATIENCE_S)
        assert server.recv(4) == b"late"


def test_addresses_are_withdrawn_and_configured_again(net: TwoLinks) -> None:
    link = net.links[0]
    link.withdraw()
    assert addresses(net.client, "eth0") == set()
    assert [row["dev"] for row in net.client.show("route", "get", SERVER_V4)] == ["wlan0"]
    assert [row["dev"] for row in net.client.show("route", "get", SERVER_V6)] == ["wlan0"]
    link.configure()
    assert addresses(net.client, "eth0") == {link.v4, link.v6}
    assert [row["dev"] for row in net.client.show("route", "get", SERVER_V4)] == ["eth0"]
    assert [row["dev"] for row in net.client.show("route", "get", SERVER_V6)] == ["eth0"]


def test_a_third_link_can_be_added(net: TwoLinks) -> None:
    link = net.add_link("usb0")
    assert net.client.carrier("usb0")
    assert addresses(net.client, "usb0") == {"10.3.0.2", link.v6}
    with Lab() as lab, pytest.raises(LabError, match="eth0"):
        two_links(lab, names=("eth0", "eth0"))


def test_every_link_has_networks_of_its_own() -> None:
    with Lab() as lab:
        net = two_links(lab, names=("a0", "a1", "a2", "a3"))
        networks = {link.v6.rpartition("::")[0] for link in net.links} | {SERVER_V6.rpartition("::")[0]}
        assert len(networks) == len(net.links) + 1


def test_a_negative_round_trip_is_refused() -> None:
    with Lab() as lab, pytest.raises(ValueError, match=r"cannot take -0\.1 s"):
        lab.cable(lab.host("a"), "eth0", lab.host("b"), "eth0", rtt_s=-0.1)
