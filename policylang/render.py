"""Diagnostics as text for people, as JSON values and as GitHub annotations."""

from __future__ import annotations

from policylang.ast import Span
from policylang.diagnostics import Diagnostic, printable

_TAB = 4
_WIDTH = 120
"""Characters of a source line that are shown; longer lines are cut around the mistake."""

_BEFORE = 60
"""Characters shown before the mistake where the line is cut."""


def render_text(diagnostic: Diagnostic) -> str:
    """Return ``file:line:column``, the message, the source line with the place underlined, and the hint."""
    span = diagnostic.span
    place = f"{span.file}:{span.line}:{span.column}" if span.line else span.file
    lines = [f"{printable(place)}: {diagnostic.severity.value}: {diagnostic.message} [{diagnostic.code}]"]
    if diagnostic.source_line:
        lines += _excerpt(diagnostic)
    if diagnostic.hint:
        lines.append(f"      = {diagnostic.hint}")
    return "\n".join(lines)


def to_json(diagnostic: Diagnostic) -> dict[str, str | int]:
    """Return the diagnostic as a value for ``json.dumps``; line 0 is the file as a whole."""
    span = diagnostic.span
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        "severity": diagnostic.severity.value,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    }


def to_github(diagnostic: Diagnostic) -> str:
    """Return the diagnostic as a workflow command that annotates the line.

    Source: GitHub documentation, "Workflow commands for GitHub Actions".
    """
    properties = {"file": diagnostic.span.file, **_github_place(diagnostic.span), "title": diagnostic.code}
    shown = ",".join(f"{name}={_github_property(str(value))}" for name, value in properties.items())
    text = f"{diagnostic.message}\n{diagnostic.hint}" if diagnostic.hint else diagnostic.message
    return f"::{diagnostic.severity.value} {shown}::{_github_data(text)}"


def _github_place(span: Span) -> dict[str, int]:
    if not span.line:
        return {}
    place = {"line": span.line, "col": span.column, "endLine": span.end_line}
    # GitHub ignores columns of annotations that run over several lines.
    return place | {"endColumn": span.end_column} if span.line == span.end_line else place


def _github_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_data(text).replace(":", "%3A").replace(",", "%2C")


def _excerpt(diagnostic: Diagnostic) -> list[str]:
    """Return the source line and the underline, both behind a gutter with the line number."""
    span, line = diagnostic.span, diagnostic.source_line
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    first = 0 if len(line) <= _WIDTH else max(0, start - _BEFORE)
    before = _shown(line[first:start])
    marked = _shown(line[start : min(end, first + _WIDTH)])
    after = _shown(line[end : first + _WIDTH])
    return [
        f"{span.line:5} | {before}{marked}{after}".rstrip(),
        f"      | {' ' * len(before)}{'^' * max(1, len(marked.rstrip()))}",
    ]


def _shown(text: str) -> str:
    return printable(text.replace("\t", " " * _TAB))
