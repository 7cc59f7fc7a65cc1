from __future__ import annotations

import socket
from pathlib import Path

import pytest

from migrated.lab import SERVER_V4, Host, Lab, TwoLinks, is_privileged, two_links
from monitors.devices import parse_devices, read_counters
from monitors.usage import Counted, Reading, Usage

HEADLINES = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo"
    " colls carrier compressed\n"
)
ROW = (
    "{}: {}   55317    0    0    0     0          0         0 {}   36987    0    0    0     0       0    0\n"
)
MEGABYTE = 1 << 20
PIECE = 1 << 14


def table(*rows: tuple[str, int, int]) -> str:
    return HEADLINES + "".join(ROW.format(f"{name:>6}", *counters) for name, *counters in rows)


def test_each_link_has_its_counters() -> None:
    text = table(("lo", 5, 5), ("eth0", 1791993914, 4520504), ("wwp0s20f0u6i12", 1 << 63, 0))
    assert parse_devices(text, {"lo": 1, "eth0": 4, "wwp0s20f0u6i12": 7}) == {
        "lo": Counted(1, 5, 5),
        "eth0": Counted(4, 1791993914, 4520504),
        "wwp0s20f0u6i12": Counted(7, 1 << 63, 0),
    }


def test_a_link_without_a_number_has_just_gone() -> None:
    assert parse_devices(table(("eth0", 1, 2)), {"lo": 1}) == {}


def test_no_links_are_fine() -> None:
    assert parse_devices(HEADLINES, {}) == {}


@pytest.mark.parametrize("name", ["a\x1cb", "a\u2028b", "a\udcffb", "\x1b[2J"])
def test_a_hostile_name_breaks_nothing(name: str) -> None:
    text = table((name, 1, 2), ("eth0", 3, 4))
    assert parse_devices(text, {name: 2, "eth0": 3}) == {"eth0": Counted(3, 3, 4)}


@pytest.mark.parametrize("line", ["eth0: 1 2 3\n", "eth0 1 2 3\n", ROW.format("eth0", 1, "two"), "\n\n"])
def test_another_form_is_an_error(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of `int` too
        parse_devices(HEADLINES + line + ROW.format("lo", 0, 0), {"eth0": 1, "lo": 2})


def test_this_kernel_tells_of_its_links_and_its_boot() -> None:
    reading = read_counters()
    assert reading.links["lo"].index == socket.if_nametoindex("lo")
    assert reading.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def at_one_moment(host: Host, name: str) -> tuple[Reading, int]:
    """Return our reading, and the bytes of a link by netlink's statistics, with no frame in between."""
    while True:
        before, reading, after = _bytes(host, name), host.call(read_counters), _bytes(host, name)
        if before == after:
            return reading, before


def _bytes(host: Host, name: str) -> int:
    (link,) = host.show("-s", "link", "show", "dev", name)
    return int(link["stats64"]["rx"]["bytes"]) + int(link["stats64"]["tx"]["bytes"])


def exchange(net: TwoLinks, size: int) -> None:
    """Send some bytes to the server and as many back, over the link that is preferred."""
    with net.server.call(lambda: socket.create_server((SERVER_V4, 0))) as listener:
        target = listener.getsockname()
        client = net.client.call(lambda: socket.create_connection(target, timeout=5.0))
        server, _ = listener.accept()
    with client, server:
        for start, far in ((client, server), (server, client)):
            for _ in range(size // PIECE):
                start.sendall(bytes(PIECE))
                assert len(far.recv(PIECE, socket.MSG_WAITALL)) == PIECE


@pytest.mark.netns
@pytest.mark.skipif(not is_privileged(), reason="this account may not make network namespaces")
def test_what_is_counted_is_what_the_kernel_says() -> None:
    """A megabyte each way through one of two links: what netlink's statistics say, to the last byte."""
    with Lab() as lab:
        net = two_links(lab, names=("eth0", "ppp0"))
        usage = Usage()
        reading, before = at_one_moment(net.client, "eth0")
        usage.receive(reading, "2026-11")
        exchange(net, MEGABYTE)
        assert reading.links.keys() == {"lo", "eth0", "ppp0"}  # the host's own, not those of whoever reads
        reading, after = at_one_moment(net.client, "eth0")
        usage.receive(reading, "2026-11")
    used = usage.used("2026-11")
    assert used["eth0"] == after - before
    assert 2 * MEGABYTE < used["eth0"] < 2.5 * MEGABYTE
    assert used["ppp0"] < 10_000
