from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrated.terminal.names import mistake_in, new_name, unknown


def test_new_names_are_names_and_never_taken() -> None:
    taken: set[str] = set()
    for _ in range(300):
        name = new_name(taken)
        assert name not in taken
        assert mistake_in(name) == ""
        taken.add(name)


@given(st.text())
def test_only_plain_names_are_allowed(text: str) -> None:
    plain = text.isascii() and text.replace(".", "a").replace("_", "a").replace("-", "a").isalnum()
    allowed = plain and text[:1].isalnum() and len(text) <= 32
    assert (mistake_in(text) == "") == allowed


def test_the_message_guesses() -> None:
    assert unknown("ottre", ["otter", "wren"]) == "there is no terminal `ottre`; did you mean `otter`?"
    assert unknown("x", ["otter", "wren"]) == "there is no terminal `x`; there is `otter`, `wren`"
    assert unknown("x", []) == "there is no terminal `x`, nor any other"
