from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from migrated.lab import SERVER_V4, Lab, LabError, TwoLinks, is_privileged, two_links
from migrated.lab.loss import deliver

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

COUNT = 1000
PATIENCE_S = 60.0
SILENCE_S = 0.2


@pytest.fixture
def net() -> Iterator[TwoLinks]:
    with Lab() as lab:
        yield two_links(lab)


def arrived(net: TwoLinks, number: int, *, lossy: bool = False) -> int:
    """Return how many of so many datagrams come through one of the client's links.

    Without loss each of them is waited for: on a busy machine the kernel takes its time.
    """

    def socket_of() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with net.server.call(socket_of) as server, net.client.call(socket_of) as client:
        server.bind((SERVER_V4, 0))
        server.settimeout(SILENCE_S if lossy else PATIENCE_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, net.links[number].interface.encode())
        client.connect(server.getsockname())
        found = 0
        for _ in range(COUNT // 50):
            for _ in range(50):
                client.send(b"x")
            found += _read(server, 50)
        return found


def _read(server: socket.socket, most: int) -> int:
    for count in range(most):
        try:
            server.recv(1)
        except TimeoutError:
            return count
    return most


def test_all_is_lost_on_a_link_that_stays_up_and_nothing_on_the_other(net: TwoLinks) -> None:
    assert arrived(net, 0) == COUNT
    net.links[0].lose()
    assert net.client.carrier("eth0")
    assert (arrived(net, 0, lossy=True), arrived(net, 1)) == (0, COUNT)
    net.links[0].deliver()
    assert arrived(net, 0) == COUNT


def test_a_share_is_lost(net: TwoLinks) -> None:
    net.links[1].lose(0.5)
    assert 0.3 * COUNT < arrived(net, 1, lossy=True) < 0.7 * COUNT
    net.links[1].lose(0.0)
    assert arrived(net, 1) == COUNT


def test_what_makes_no_sense_is_refused(net: TwoLinks) -> None:
    with pytest.raises(ValueError, match=r"1\.5 of all packets"):
        net.links[0].lose(1.5)
    net.links[0].deliver()  # nothing is lost there: nothing to do
    with pytest.raises(LabError, match="nothing is lost at `l1`"):
        deliver(net.router, "l1")
