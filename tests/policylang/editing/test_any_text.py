"""Whatever an editor shows, and wherever the cursor is, there is an answer."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from policylang.editing import complete, hover, outline
from policylang.editing.scan import include_at, named_set_at
from policylang.expected import KEYS, MODIFIERS, RESERVED
from tests.policylang.editing.around import around

WORDS = [
    *sorted(RESERVED | KEYS | MODIFIERS),
    *"{};,=<>",
    "$a",
    "$",
    '"',
    '"x"',
    "# x\n",
    "rtt",
    "1s",
    "a",
    "\r\n",
    "😀",
]

texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=25).map(" ".join)


@given(text=texts, place=st.floats(0, 1))
@example(text="monitor-policy { on port 1 - ", place=1.0)
@example(text="define $a = $a", place=0.5)
def test_every_question_has_an_answer(text: str, place: float) -> None:
    offset = round(place * len(text))
    shown = hover(text, offset, around(text))
    assert shown is None or 0 <= shown.start <= offset <= shown.end <= len(text)
    assert all(0 <= one.start <= offset for one in complete(text, offset, around(text)))
    named = named_set_at(text, offset)
    assert named is None or text[named.start : named.end] == named.name
    include = include_at(text, offset)
    assert include is None or text[include.start : include.end] == include.text


@given(text=texts)
def test_every_text_has_an_outline(text: str) -> None:
    def inside(start: int, end: int, of: str) -> None:
        assert 0 <= start <= end <= len(of)

    for symbol in outline(text):
        inside(symbol.start, symbol.end, text)
        assert symbol.start <= symbol.head_end <= symbol.end
        assert all(symbol.start <= child.start and child.end <= symbol.end for child in symbol.children)
