from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.texts import REASON_MAX, is_encodable, message_of, printable


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


class WordlessError(Exception):
    def __str__(self) -> str:
        words: Any = 5
        return cast("str", words)


@given(st.text(alphabet=st.characters(), max_size=9) | st.text(max_size=3 * REASON_MAX))
def test_what_went_wrong_can_always_be_written_down_in_one_short_line(text: str) -> None:
    told = message_of(RuntimeError(text))
    told.encode()
    assert len(told) <= REASON_MAX
    assert told == " ".join(told.split())


def test_a_long_message_is_cut_and_a_short_one_is_not() -> None:
    assert message_of(OSError("no route\n to host")) == "no route to host"
    assert message_of(OSError("x" * 10_000_000)) == "x" * (REASON_MAX - 4) + " ..."


def test_halves_of_pairs_are_written_out() -> None:
    assert message_of(OSError("caf\udce9")) == "caf\\udce9"
    assert printable("caf\udce9") == "caf\\udce9"
    assert not is_encodable("caf\udce9")
    assert is_encodable("café")


@pytest.mark.parametrize("kind", [UnspeakableError, WordlessError])
def test_an_error_that_says_nothing_is_told_nevertheless(kind: type[Exception]) -> None:
    assert message_of(kind()) == "its message can't be told, because `__str__` fails"
