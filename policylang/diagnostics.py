"""What is wrong with a policy: one frozen value per mistake, and the collector of a file's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from policylang.ast import Span

MAX_DIAGNOSTICS = 100
"""How many problems of one file are kept; a last entry then says that there are more."""

MAX_QUOTED = 40
"""Characters of the author's text that a message repeats."""

_MAX_GUESSED = 64
"""Longest word that is compared with the known ones: the comparison is quadratic."""

_MAX_CHOICES = 2000
"""Most known words that a word is compared with: each costs some microseconds."""


class Severity(Enum):
    """Whether a problem keeps the policy from being used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """Say what is wrong, where, and what to do.

    A span of line 0 means the file as a whole. ``source_line`` is the text of the
    line in which the span begins, and empty where there is none. ``hint`` may be empty.
    ``replacement`` is what to write in place of the span, where that is known; else empty.
    """

    span: Span
    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    source_line: str = ""
    replacement: str = ""


def printable(text: str) -> str:
    """Return ``text`` with everything escaped that a terminal would act on or hide."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def quote(text: str) -> str:
    """Return ``text`` in backticks, safe to print and of bounded length."""
    cropped = text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 1] + "…"
    return f"`{printable(cropped)}`"


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that ``word`` was probably meant to be; nothing where none resembles it."""
    from difflib import get_close_matches

    choices = sorted(known)
    if len(word) > _MAX_GUESSED or len(choices) > _MAX_CHOICES:
        return ""
    lowered = {choice.lower(): choice for choice in choices}
    close = get_close_matches(word.lower(), lowered, n=1)
    return lowered[close[0]] if close else ""


def question(guess: str) -> str:
    """Return ``did you mean ...?`` about a guess of `closest`, or nothing where it has none."""
    return f"did you mean `{guess}`?" if guess else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question ``did you mean ...?``, or nothing where no known word resembles ``word``."""
    return question(closest(word, known))


def one_of(choices: Iterable[str]) -> str:
    """Return ``a, b or c`` for the choices in alphabetical order."""
    *first, last = sorted(choices, key=lambda choice: choice.strip("`"))
    return f"{', '.join(first)} or {last}" if first else last


@dataclass(slots=True, kw_only=True)
class Report:
    """Collect the problems of one file.

    Attributes:
        failed: Whether one of them is an error, counting those above ``MAX_DIAGNOSTICS``.
    """

    file: str
    text: str
    failed: bool = False
    _found: list[Diagnostic] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)
    _explained: set[tuple[int, int]] = field(default_factory=set)

    @property
    def hopeless(self) -> bool:
        """Return whether looking for more is in vain: the file is wrong, and no more would be shown."""
        return self.failed and len(self._found) > MAX_DIAGNOSTICS

    def error(self, span: Span, code: str, message: str, hint: str = "", replacement: str = "") -> None:
        """Add an error; ``replacement`` is what to write in place of the span, where that is known."""
        self.failed = True
        self._add(span, code, message, hint, replacement, Severity.ERROR)

    def warning(self, span: Span, code: str, message: str, hint: str = "", replacement: str = "") -> None:
        """Add a warning; its arguments are those of `error`."""
        self._add(span, code, message, hint, replacement, Severity.WARNING)

    def explained(self, span: Span) -> None:
        """Pass over whatever is found later where this span begins: it follows from what was said there."""
        self._explained.add((span.line, span.column))

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return what was found in the order of the text."""
        found = sorted(self._found, key=lambda diagnostic: diagnostic.span)
        if len(found) <= MAX_DIAGNOSTICS:
            return tuple(found)
        severity = Severity.ERROR if self.failed else Severity.WARNING
        last = Diagnostic(
            span=whole_file(self.file),
            code="too-many",
            message=f"more than {MAX_DIAGNOSTICS} problems: the others are not shown",
            hint="correct these first",
            severity=severity,
        )
        return (*found[:MAX_DIAGNOSTICS], last)

    def _add(
        self, span: Span, code: str, message: str, hint: str, replacement: str, severity: Severity
    ) -> None:
        if len(self._found) > MAX_DIAGNOSTICS or (span.line, span.column) in self._explained:
            return
        self._found.append(
            Diagnostic(
                span=span,
                code=code,
                message=message,
                hint=hint,
                severity=severity,
                source_line=self._line(span.line),
                replacement=replacement,
            )
        )

    def _line(self, number: int) -> str:
        if not self._lines:
            self._lines = self.text.split("\n")
        return self._lines[number - 1].rstrip("\r") if 1 <= number <= len(self._lines) else ""


def whole_file(file: str) -> Span:
    """Return the span that stands for a file as a whole."""
    return Span(file=file, line=0, column=0, end_line=0, end_column=0)
