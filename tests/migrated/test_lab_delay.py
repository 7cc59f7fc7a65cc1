from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.lab import Host, Lab, is_privileged
from migrated.lab.delay import HOLD_LIMIT_BYTES, DelayQueue
from migrated.lab.link import Cable

netns = pytest.mark.netns
privileged = pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")

PATIENCE_S = 60.0
RTT_S = 0.040
ON_THE_WAY_S = 0.5
AGAIN_S = 5.0
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
        client = pair.a.call(lambda: socket.create_connection(target, timeout=PATIENCE_S))
        server, _ = listener.accept()
    server.settimeout(PATIENCE_S)
    return client, server


@netns
@privileged
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_a_round_trip_takes_as_long_as_said(pair: Pair, address: str) -> None:
    client, server = connection(pair, address)
    times_s: list[float] = []
    with client, server:
        while len(times_s) < 10 or (len(times_s) < 200 and min(times_s) >= RTT_S + TOLERANCE_S):
            start = time.monotonic()
            client.sendall(b"?")
            server.sendall(server.recv(1))
            client.recv(1)
            times_s.append(time.monotonic() - start)
    # The smallest: the machine may be busy with something else.
    assert RTT_S <= min(times_s) < RTT_S + TOLERANCE_S


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


def until(word: bytes, sender: socket.socket, receiver: socket.socket) -> tuple[list[bytes], int]:
    """Say a word until it is heard; return what was heard before it, and how often it had to be said.

    A delay line that did not run in time may hear of a cut after what was sent since, which is lost as well.
    """
    heard: list[bytes] = []
    for said in range(1, int(PATIENCE_S / AGAIN_S) + 1):
        sender.send(word)
        with suppress(TimeoutError):
            while (found := receiver.recv(9)) != word:
                heard.append(found)
            return heard, said
    raise AssertionError(f"{word!r} was not heard after {heard}")


@netns
@privileged
def test_a_cut_loses_what_is_under_way_and_only_that() -> None:
    def datagrams() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with ExitStack() as stack:
        pair = stack.enter_context(paired(rtt_s=2 * ON_THE_WAY_S))
        sender, receiver = (stack.enter_context(host.call(datagrams)) for host in (pair.a, pair.b))
        receiver.bind(("10.0.0.2", 0))
        receiver.settimeout(AGAIN_S)
        sender.connect(receiver.getsockname())
        heard, _ = until(b"first", sender, receiver)  # the neighbours know each other after this one
        assert heard == []
        for number in range(10):
            sent_at = time.monotonic()
            sender.send(b"lost")
            pair.cable.cut()
            in_time = time.monotonic() < sent_at + ON_THE_WAY_S
            assert not pair.a.carrier("eth0")
            assert not pair.b.carrier("eth0")
            pair.cable.plug()
            heard, said = until(b"last %d" % number, sender, receiver)
            assert not in_time or b"lost" not in heard
            if in_time and said == 1:  # a busy machine may take longer to cut than a frame is on its way
                break
        assert in_time
        assert said == 1
