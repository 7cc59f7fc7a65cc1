from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from migrated.lab import (
    NAT_OUTSIDE,
    SERVER_V4,
    SERVER_V6,
    Host,
    Lab,
    LabError,
    TwoLinks,
    is_privileged,
    two_links,
)

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

PATIENCE_S = 60.0
ROUTER_OUTSIDE = {SERVER_V4: "18.31.0.1", SERVER_V6: "fd03::1"}


@pytest.fixture
def net() -> Iterator[TwoLinks]:
    with Lab() as lab:
        yield two_links(lab)


def listen(host: Host, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return host.call(lambda: socket.create_server((address, 0), family=family))


def connect(host: Host, listener: socket.socket, timeout_s: float = PATIENCE_S) -> socket.socket:
    target = listener.getsockname()[:2]
    return host.call(lambda: socket.create_connection(target, timeout=timeout_s))


@pytest.mark.parametrize("address", [SERVER_V4, SERVER_V6])
def test_strict_nat_shows_the_routers_address_and_random_ports(net: TwoLinks, address: str) -> None:
    net.router.strict_nat(NAT_OUTSIDE)
    kept = 0
    with listen(net.server, address) as listener:
        for _ in range(4):
            with connect(net.client, listener) as client, listener.accept()[0] as server:
                assert server.getpeername()[0] == ROUTER_OUTSIDE[address]
                kept += server.getpeername()[1] == client.getsockname()[1]
                server.sendall(b"back")
                assert client.recv(4) == b"back"
    assert kept < 4


@pytest.mark.parametrize("address", [SERVER_V4, SERVER_V6])
def test_strict_nat_drops_segments_of_connections_that_it_does_not_know(net: TwoLinks, address: str) -> None:
    with (
        listen(net.server, address) as listener,
        connect(net.client, listener) as client,
        listener.accept()[0] as server,
    ):
        net.router.strict_nat(NAT_OUTSIDE)
        client.sendall(b"request")
        server.sendall(b"answer")
        for end in (client, server):
            end.settimeout(0.3)
            with pytest.raises(TimeoutError):
                end.recv(7)
            end.settimeout(PATIENCE_S)
        net.router.plain_routing()  # the same segments, sent again, now pass
        assert server.recv(7) == b"request"
        assert client.recv(6) == b"answer"


def test_strict_nat_lets_nobody_in_from_outside(net: TwoLinks) -> None:
    with listen(net.client, net.links[0].v4) as listener:
        with connect(net.server, listener):
            pass
        net.router.strict_nat(NAT_OUTSIDE)
        with pytest.raises(TimeoutError):
            connect(net.server, listener, timeout_s=0.3)


def test_translation_is_switched_once(net: TwoLinks) -> None:
    with pytest.raises(LabError, match="router `router`: no address translation to end"):
        net.router.plain_routing()
    net.router.strict_nat(NAT_OUTSIDE)
    with pytest.raises(LabError, match="router `router`: address translation is on already"):
        net.router.strict_nat(NAT_OUTSIDE)


def test_a_missing_program_is_answered_with_its_package(
    net: TwoLinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    with pytest.raises(LabError, match="`nft` was not found; on Debian: `apt-get install nftables`"):
        net.router.strict_nat(NAT_OUTSIDE)
    with pytest.raises(LabError, match="`ip` was not found; on Debian: `apt-get install iproute2`"):
        net.links[0].cut()
