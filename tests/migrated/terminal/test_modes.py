from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrated.terminal.modes import Modes

PIECES = st.sampled_from((
    b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?25h", b"\x1b[?1;2004h", b"\x1b[?2004l",
    b"\x1b=", b"\x1b>", b"\x1bc", b"\x1b[!p", b"\x1b[31m", b"text", b"\x1b[?9999h",
    b"\x1b]0;title\x07", b"\x1b[?h",
))  # fmt: skip


def after(*pieces: bytes) -> Modes:
    modes = Modes()
    for piece in pieces:
        modes.feed(piece)
    return modes


def test_what_programs_throw() -> None:
    modes = after(b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?25l")
    assert modes.alternate
    assert not modes.is_set(25)
    assert modes.sequence() == b"\x1b[?1h\x1b[?25l\x1b[?66h\x1b[?1049h"
    assert modes.sequence(screens=False) == b"\x1b[?1h\x1b[?25l\x1b[?66h"
    assert modes.undo() == b"\x1b[?1l\x1b[?25h\x1b[?66l\x1b[?1049l"


def test_a_reset_throws_all_back() -> None:
    assert after(b"\x1b[?1049h\x1b[?25l\x1bc").sequence() == b""


@given(st.lists(PIECES), st.data())
def test_cuts_do_not_matter(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert after(*parts).sequence() == after(whole).sequence()


@given(st.lists(PIECES))
def test_the_sequence_brings_back_the_state_and_undo_the_first_one(pieces: list[bytes]) -> None:
    modes = after(*pieces)
    assert after(modes.sequence()).sequence() == modes.sequence()
    assert after(modes.sequence(), modes.undo()).sequence() == b""


@given(st.binary(max_size=300))
def test_any_output_can_be_fed(data: bytes) -> None:
    after(data, data[::-1])
