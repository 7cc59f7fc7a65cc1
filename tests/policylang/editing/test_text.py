from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylang.ast import Span
from policylang.editing import Encoding, Position, Text

FACE = "😀"


@pytest.mark.parametrize(
    ("text", "offset", "line", "utf_8", "utf_16", "utf_32"),
    [
        ("", 0, 0, 0, 0, 0),
        ("on", 2, 0, 2, 2, 2),
        ("a\nbc", 3, 1, 1, 1, 1),
        ("a\r\nbc", 4, 1, 1, 1, 1),
        ("a\rbc", 3, 1, 1, 1, 1),
        (f"# {FACE} x", 5, 0, 8, 6, 5),
        ("# ä x", 5, 0, 6, 5, 5),
        ("# 中 x", 5, 0, 7, 5, 5),
        (f"#\n{FACE}{FACE}\n", 4, 1, 8, 4, 2),
        # What Python calls the end of a line is none for the protocol.
        ("a\x0bb\u2028c", 5, 0, 7, 5, 5),
    ],
)
def test_positions_in_both_directions(
    text: str, offset: int, line: int, utf_8: int, utf_16: int, utf_32: int
) -> None:
    for encoding, character in zip(Encoding, (utf_8, utf_16, utf_32), strict=True):
        index = Text(text, encoding)
        assert index.position(offset) == Position(line, character)
        assert index.offset(Position(line, character)) == offset


@pytest.mark.parametrize(
    ("position", "offset"),
    [
        (Position(0, 3), 2),  # inside of a character
        (Position(0, 99), 4),
        (Position(1, 99), 7),
        (Position(2, 0), 7),
        (Position(99, 99), 7),
    ],
)
def test_positions_that_are_not_in_the_text(position: Position, offset: int) -> None:
    assert Text(f"# {FACE}x\nab").offset(position) == offset


def test_half_a_character() -> None:
    text = Text("\ud83d|")
    assert text.position(1) == Position(0, 1)
    assert text.offset(Position(0, 1)) == 1


@given(
    text=st.text(alphabet=st.sampled_from("ab\r\n😀ä\u2028"), max_size=30), encoding=st.sampled_from(Encoding)
)
def test_every_offset_comes_back(text: str, encoding: Encoding) -> None:
    index = Text(text, encoding)
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] != "\r\n":
            assert index.offset(index.position(offset)) == offset


@pytest.mark.parametrize(
    ("span", "covered"),
    [
        ((1, 3, 1, 4), FACE),
        ((2, 1, 2, 3), "on"),
        ((1, 3, 2, 3), f"{FACE}\r\non"),
        ((0, 0, 0, 0), f"# {FACE}"),
        ((9, 1, 9, 9), "on"),
    ],
)
def test_spans(span: tuple[int, int, int, int], covered: str) -> None:
    text = f"# {FACE}\r\non"
    line, column, end_line, end_column = span
    place = Span(file="x", line=line, column=column, end_line=end_line, end_column=end_column)
    start, end = Text(text).span_offsets(place)
    assert text[start:end] == covered
