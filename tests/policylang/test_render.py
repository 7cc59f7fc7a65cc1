from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylang import Diagnostic, Severity, parse_policy, render_text, to_github, to_json
from policylang.ast import Span


def diagnostic(line: str, column: int, end: int) -> Diagnostic:
    span = Span(file="a.policy", line=7, column=column, end_line=7, end_column=end)
    return Diagnostic(span=span, code="unexpected", message="wrong", source_line=line, hint="do this")


def test_text_has_the_place_the_line_a_caret_and_the_hint() -> None:
    (found,) = parse_policy("monitor-policy {\n\tscor-interface * 1\n}", "a.policy").diagnostics
    assert render_text(found).splitlines() == [
        "a.policy:2:2: error: expected a statement or `}`, found `scor-interface` [unexpected]",
        "    2 |     scor-interface * 1",
        "      |     ^^^^^^^^^^^^^^",
        "      = did you mean `score-interface`?",
    ]


@pytest.mark.parametrize("column", [1, 500, 999_990])
def test_a_long_line_is_cut_around_the_mistake(column: int) -> None:
    line = "x" * (column - 1) + "BAD" + "y" * 999_999
    _, shown, underline, _ = render_text(diagnostic(line, column, column + 3)).splitlines()
    assert len(shown) < 140
    start = underline.index("^")
    assert shown[start : start + underline.count("^")] == "BAD"


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1), st.data())
def test_the_caret_stands_under_the_mistake_and_nothing_reaches_the_terminal(
    line: str, data: st.DataObject
) -> None:
    column = data.draw(st.integers(1, len(line)))
    text = render_text(diagnostic(line, column, column + 1))
    assert all(part.isprintable() for part in text.split("\n"))
    _, shown, underline, _ = text.split("\n")
    assert underline.startswith("      | ")
    assert underline.count("^") >= 1
    assert len(underline) <= max(len(shown), len("      | ^") + len(line) * 10)


def test_json_has_every_field() -> None:
    assert to_json(diagnostic("margin", 1, 7)) == {
        "file": "a.policy",
        "line": 7,
        "column": 1,
        "end_line": 7,
        "end_column": 7,
        "severity": "error",
        "code": "unexpected",
        "message": "wrong",
        "hint": "do this",
    }


def test_github_annotations_escape_what_would_end_them() -> None:
    span = Span(file="a,b:c.policy", line=3, column=1, end_line=3, end_column=5)
    found = Diagnostic(
        span=span, code="repeated", message="100%", hint="two\nlines", severity=Severity.WARNING
    )
    assert to_github(found) == (
        "::warning file=a%2Cb%3Ac.policy,line=3,col=1,endLine=3,endColumn=5,title=repeated"
        "::100%25%0Atwo%0Alines"
    )


def test_a_whole_file_has_no_line() -> None:
    span = Span(file="a.policy", line=0, column=0, end_line=0, end_column=0)
    found = Diagnostic(span=span, code="unreadable", message="cannot read this file")
    assert render_text(found) == "a.policy: error: cannot read this file [unreadable]"
    assert to_github(found) == "::error file=a.policy,title=unreadable::cannot read this file"
