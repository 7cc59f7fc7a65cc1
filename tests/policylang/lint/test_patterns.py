from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylang.globs import ANY_NAME
from policylang.lint.linter import lint_text
from policylang.lint.patterns import _compared, _related

PATTERNS = st.text("ab*?[]!", min_size=1, max_size=6)


@given(PATTERNS, PATTERNS)
def test_what_is_seen_at_a_glance_is_what_the_automaton_finds(first: str, second: str) -> None:
    assert _related(first, second) == _compared(first, second, ANY_NAME)


@pytest.mark.parametrize(
    ("first", "second"),
    [("eth0", "eth1"), ("eth0", "eth*"), ("eth*", "eth0"), ("eth*", "wlan*"), ("a*x", "a*y"), ("a?", "a")],
)
def test_simple_patterns_need_no_automaton(first: str, second: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(*_: object) -> tuple[bool, bool]:
        raise AssertionError("compared")

    exact = _compared(first, second, ANY_NAME)
    monkeypatch.setattr("policylang.lint.patterns._compared", compared)
    assert _related(first, second) == exact


def test_many_links_are_told_apart() -> None:
    """With an automaton for each pair this took a minute."""
    lines = "\n".join(f"score-interface eth{number} {number + 1}" for number in range(300))
    assert lint_text(f"monitor-policy {{\n{lines}\n}}") == ()
