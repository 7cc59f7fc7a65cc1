from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.migrated.terminal.emulator import Emulator

OUTPUT = (
    b"one\r\n\x1b[22;2t\x1b]2;host: suspended for 1 s\x07\x1b]0;x\x1b\\"
    b"\x1b[1;31mtwo\x1b[m\r\nthree\x1b[?2004h"
)


@given(st.lists(st.integers(0, len(OUTPUT)), max_size=6))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    emulator = Emulator(5, 20)
    places = [0, *sorted(cuts), len(OUTPUT)]
    for begin, end in pairwise(places):
        emulator.feed(OUTPUT[begin:end])
    assert emulator.display == ["one", "two", "three", "", ""]
    assert emulator.modes == {2004}
