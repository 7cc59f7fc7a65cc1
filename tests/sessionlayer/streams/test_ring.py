from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionlayer.protocol.errors import LocalProtocolError, RemoteProtocolError
from sessionlayer.streams.limits import SMALL_WRITE_MAX
from sessionlayer.streams.ring import ReplayRing


def send(ring: ReplayRing, count: int) -> bytes:
    """Hand at most ``count`` bytes to an imagined transport, as ``sendmsg`` would."""
    data = b"".join(bytes(buffer) for buffer in ring.buffers())[:count]
    ring.sent(len(data))
    return data


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.binary(max_size=40)),
        st.tuples(st.just("write"), st.just(bytes(range(256)) * (SMALL_WRITE_MAX // 256 + 1))),
        st.tuples(st.just("send"), st.integers(0, 40_000)),
        st.tuples(st.just("acknowledge"), st.floats(0, 1)),
        st.tuples(st.just("new transport"), st.floats(0, 1)),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_a_transport_carries_what_was_written_from_its_offset_on(
    steps: list[tuple[str, bytes | int | float]],
) -> None:
    ring, written, carried, start = ReplayRing(), b"", b"", 0
    for step, value in steps:
        match step, value:
            case "write", bytes():
                ring.append(value)
                written += value
            case "send", int():
                carried += send(ring, value)
            case "acknowledge", float():
                reached = max(ring.acknowledged, start + len(carried))
                offset = ring.acknowledged + int(value * (reached - ring.acknowledged))
                assert ring.acknowledge(offset) or offset == ring.acknowledged
            case "new transport", float():
                ring.join()
                start = ring.acknowledged + int(value * (ring.written - ring.acknowledged))
                ring.rewind(start)
                carried = b""
        assert carried == written[start : start + len(carried)]
        assert ring.unacknowledged == len(written) - ring.acknowledged
        assert ring.unsent == len(written) - start - len(carried)
    assert ring.contents() == written[ring.acknowledged :]


def test_large_writes_are_kept_as_they_are_and_small_ones_joined() -> None:
    ring, large = ReplayRing(), bytes(SMALL_WRITE_MAX + 1)
    for data in (b"a", b"b", large, b"c", b"d"):
        ring.append(data)
    first, second, third = ring.buffers()
    assert first == b"ab"
    assert second is large
    assert third == b"cd"


def test_acknowledged_chunks_are_let_go() -> None:
    ring = ReplayRing()
    ring.append(b"x" * 10)
    send(ring, 10)
    assert ring.acknowledge(10)
    assert ring.contents() == b""
    assert not ring.acknowledge(4)


def test_impossible_offsets_are_told_apart_by_whose_fault_they_are() -> None:
    ring = ReplayRing()
    ring.append(b"x" * 10)
    ring.join()
    with pytest.raises(RemoteProtocolError, match="byte 11"):
        ring.acknowledge(11)
    ring.acknowledge(5)
    with pytest.raises(LocalProtocolError, match="byte 4"):
        ring.rewind(4)
