from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.lab import Host, Lab, is_privileged
from migrated.lab.delay import HOLD_LIMIT_BYTES, DelayQueue
from migrated.lab.link import Cable

netns = pytest.mark.netns
privileged = pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")

RTT_S = 0.040
TOLERANCE_S = 0.010
BULK_BYTES = 100_000_000
BUFFERS = "4096 131072 67108864"  # more than rate times round trip


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 1))
def test_frames_leave_in_order_and_exactly_when_due(gaps_s: list[float], delay_s: float) -> None:
    queue, now, sent = DelayQueue(delay_s), 0.0, []
    for number, gap_s in enumerate(gaps_s):
        now += gap_s
        queue.put([b"%d" % number], now)
        sent.append((now + delay_s, b"%d" % number))
    left = []
    while (at := queue.next_deadline()) is not None:
        left += [(at, frame) for frame in queue.due(at, 1)]
    assert left == sent


@given(st.floats(0.001, 1))
def test_nothing_leaves_early_or_after_a_clear(delay_s: float) -> None:
    queue = DelayQueue(delay_s)
    queue.put([b"a", b"b"], 0.0)
    assert list(queue.due(delay_s * 0.999, 9)) == []
    assert list(queue.due(delay_s, 1)) == [b"a"]
    queue.clear()
    assert queue.next_deadline() is None


def test_what_exceeds_the_bound_is_lost_until_there_is_room() -> None:
    queue, frame = DelayQueue(1.0), bytes(HOLD_LIMIT_BYTES // 4)
    queue.put([frame] * 5, 0.0)
    assert len(list(queue.due(1.0, 1))) == 1
    queue.put([frame, frame], 1.0)
    assert len(list(queue.due(9.0, 9))) == 4


class Pair(NamedTuple):
    a: Host
    b: Host
    cable: Cable


@contextmanager
def paired(rtt_s: float) -> Iterator[Pair]:
    with Lab() as lab:
        a, b = lab.host("a"), lab.host("b")
        cable = lab.cable(a, "eth0", b, "eth0", rtt_s=rtt_s)
        for host, number in ((a, 1), (b, 2)):
            host.address_add("eth0", f"10.0.0.{number}/24")
            host.address_add("eth0", f"fd00::{number}/64")
            host.sysctl("net.ipv4.tcp_rmem", BUFFERS)
            host.sysctl("net.ipv4.tcp_wmem", BUFFERS)
        yield Pair(a, b, cable)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with paired(RTT_S) as pair:
        yield pair


def connection(pair: Pair, address: str) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pair.b.call(lambda: socket.create_server((address, 0), family=family)) as listener:
        target = listener.getsockname()[:2]
        client = pair.a.call(lambda: socket.create_connection(target, timeout=30))
        server, _ = listener.accept()
    server.settimeout(30)
    return client, server


@netns
@privileged
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_a_round_trip_takes_as_long_as_said(pair: Pair, address: str) -> None:
    client, server = connection(pair, address)
    times_s = []
    with client, server:
        for _ in range(10):
            start = time.monotonic()
            client.sendall(b"?")
            server.sendall(server.recv(1))
            client.recv(1)
            times_s.append(time.monotonic() - start)
    assert (
        RTT_S <= min(times_s) < RTT_S + TOLERANCE_S
    )  # the smallest: the machine may be busy with something else


@netns
@privileged
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_bulk_data_arrives_whole(pair: Pair, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    block = os.urandom(1_000_000)
    client, server = connection(pair, address)

    def send() -> None:
        with client:
            for _ in range(BULK_BYTES // len(block)):
                client.sendall(block)

    sender, received, start = threading.Thread(target=send), hashlib.sha256(), time.monotonic()
    sender.start()
    with server:
        while piece := server.recv(1 << 20):
            received.update(piece)
    sender.join()
    rate = BULK_BYTES * 8 / (time.monotonic() - start) / 1e9
    with capsys.disabled():
        print(f"\ndelay line of {RTT_S} s to {address}: {rate:.2f} Gbit/s, slow start included")  # noqa: T201
    assert received.digest() == hashlib.sha256(block * (BULK_BYTES // len(block))).digest()


@netns
@privileged
def test_a_cut_loses_what_is_under_way_and_only_that() -> None:
    def datagrams() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(5)
        return made

    with ExitStack() as stack:
        pair = stack.enter_context(paired(rtt_s=1.0))  # it takes a busy machine a while to cut
        sender, receiver = (stack.enter_context(host.call(datagrams)) for host in (pair.a, pair.b))
        receiver.bind(("10.0.0.2", 0))
        sender.sendto(b"first", receiver.getsockname())  # the neighbours know each other after this one
        assert receiver.recv(9) == b"first"
        sender.sendto(b"lost", receiver.getsockname())
        pair.cable.cut()
        assert not pair.a.carrier("eth0")
        assert not pair.b.carrier("eth0")
        pair.cable.plug()
        sender.sendto(b"last", receiver.getsockname())
        assert receiver.recv(9) == b"last"
