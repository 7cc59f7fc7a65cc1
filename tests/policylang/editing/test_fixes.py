from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylang import parse_policy
from policylang.editing import Edit, Text, correction, difference


def apply(text: str, edit: Edit | None) -> str:
    return text if edit is None else text[: edit.start] + edit.text + text[edit.end :]


def test_a_correction_behind_a_wide_character() -> None:
    text = "monitor-policy { # 😀\r\n on remote-ip 10.0.0.0/8 user a migrate nver }"
    (diagnostic,) = parse_policy(text).diagnostics
    assert apply(text, correction(diagnostic, Text(text))) == text.replace("nver", "never")


def test_nothing_is_corrected_where_nothing_is_known() -> None:
    text = "monitor-policy { on remote-ip 10.0.0.0/99 migrate never }"
    (diagnostic,) = parse_policy(text).diagnostics
    assert correction(diagnostic, Text(text)) is None


@pytest.mark.parametrize(
    ("old", "new", "edit"),
    [
        ("a\nb\nc\n", "a\nb\nc\n", None),
        ("a\nb\nc\n", "a\nx\nc\n", Edit(2, 4, "x\n")),
        ("a\na\n", "a\n", Edit(2, 4, "")),
        ("a\n", "a\na\n", Edit(2, 2, "a\n")),
        ("a", "a\n", Edit(0, 1, "a\n")),
        ("", "a\n", Edit(0, 0, "a\n")),
    ],
)
def test_difference(old: str, new: str, edit: Edit | None) -> None:
    assert difference(old, new) == edit


_TEXTS = st.lists(st.sampled_from(["a\n", "b\n", "\n", "a\r\n", "c\u2028"]), max_size=8).map("".join)


@given(old=_TEXTS, new=_TEXTS)
def test_the_difference_makes_one_text_the_other(old: str, new: str) -> None:
    assert apply(old, difference(old, new)) == new
