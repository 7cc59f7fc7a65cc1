"""What the rules look at, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from policylang.ast import Span, Statement
from policylang.diagnostics import quote
from policylang.lint.layout import Layout
from policylang.lint.reach import Reach
from policylang.loader import PolicySource


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Say what is hardly meant, where, and what to do; ``replacement`` as in `Diagnostic`."""

    span: Span
    message: str
    hint: str
    replacement: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A checked policy as the rules read it.

    Attributes:
        layout: Its statements with the ways to them.
        reach: Where these are reached.
        written: What each file says, unchecked: with its sets and includes.
        sources: Its files by name.
        interfaces: The names of the interfaces that are present; ``None`` if they are not to be looked at.
    """

    layout: Layout
    reach: Reach
    written: Mapping[str, tuple[Statement, ...]]
    sources: Mapping[str, PolicySource]
    interfaces: frozenset[str] | None

    def line(self, span: Span) -> str:
        """Return the text of the line in which a span begins."""
        source = self.sources.get(span.file)
        lines = _lines(source.text or "") if source else []
        return lines[span.line - 1].rstrip("\r") if 1 <= span.line <= len(lines) else ""

    def words(self, span: Span) -> str:
        """Return what the author wrote at a place, in backticks, of what stands on its first line."""
        end = span.end_column - 1 if span.end_line == span.line else None
        return quote(" ".join(self.line(span)[span.column - 1 : end].split()))


@lru_cache(maxsize=8)
def _lines(text: str) -> list[str]:
    return text.split("\n")


Rule = Callable[[Material], Iterator[Finding]]
"""Yield what a rule finds, in any order."""
