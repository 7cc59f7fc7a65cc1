"""Comments that silence a rule: ``# lint: allow P001`` behind what it is about, or on a line before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from policylang.ast import Span
from policylang.diagnostics import quote
from policylang.lint.material import Finding

_COMMENT = re.compile(r'"[^"\n]*"?|(?P<comment>#[^\n]*)')
"""Comments, and the quoted texts in which a `#` begins none: the same as in the grammar."""

_ALLOW = re.compile(r"#\s*lint:\s*allow(?![\w-])", re.IGNORECASE)
_WORD = re.compile(r"[^\s,:]+")
_CODE = re.compile(r"[A-Za-z][0-9]{3}")
"""What is a code; the first word that is none ends the list and begins the reason for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comment:
    """A comment that silences: its codes with their places, and the line that it is about."""

    codes: tuple[tuple[str, Span], ...]
    line: int


@dataclass(slots=True)
class Silence:
    """Hold what the comments of one file allow.

    Attributes:
        mistakes: What is wrong with the comments themselves.
    """

    file: str
    text: str
    known: frozenset[str]
    mistakes: list[Finding] = field(default_factory=list)
    _allowed: set[tuple[int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for comment in _comments(self.file, self.text):
            for code, span in comment.codes:
                self._allow(code, span, comment.line)

    def covers(self, line: int, code: str) -> bool:
        """Return whether a finding of this code in a line is allowed."""
        return (line, code) in self._allowed

    def _allow(self, code: str, span: Span, line: int) -> None:
        if code in self.known:
            self._allowed.add((line, code))
            return
        message = f"there is no rule {quote(code)} to allow"
        hint = f"the rules go from `{min(self.known)}` to `{max(self.known)}`"
        self.mistakes.append(Finding(span=span, message=message, hint=hint))


def _comments(file: str, text: str) -> Iterator[_Comment]:
    """Yield the comments that silence, in the order of the text."""
    lines = text.split("\n")
    for match in _COMMENT.finditer(text):
        allow = _ALLOW.match(match["comment"] or "")
        if allow is None:
            continue
        number = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        words = list(_WORD.finditer(match["comment"], allow.end()))
        codes = list(takewhile(lambda word: _CODE.fullmatch(word[0]), words)) or words[:1]
        yield _Comment(
            codes=tuple(
                (word[0].upper(), _span(file, number, column + word.start(), word[0])) for word in codes
            ),
            line=_about(lines, number),
        )


def _about(lines: list[str], number: int) -> int:
    """Return the line that a comment is about: its own, or the next that holds more than a comment."""
    if not lines[number - 1].lstrip().startswith("#"):
        return number
    for following in range(number + 1, len(lines) + 1):
        words = lines[following - 1].strip()
        if words and not words.startswith("#"):
            return following
    return number


def _span(file: str, line: int, column: int, word: str) -> Span:
    return Span(file=file, line=line, column=column, end_line=line, end_column=column + len(word))
