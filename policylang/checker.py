"""The meaning of the words in a policy: what the grammar cannot know.

The parser leaves every value of an ``on`` as a name. Here the key says what it is:
a port becomes a range, an address a prefix, and what makes no sense a diagnostic.
"""

from __future__ import annotations

from collections.abc import Sequence

from policylang import values
from policylang.ast import (
    Condition,
    Current,
    Define,
    Glob,
    Include,
    Name,
    NumberRange,
    On,
    Prefix,
    ScoreInterface,
    ScoreServer,
    SetReference,
    Span,
    Statement,
    Value,
    When,
)
from policylang.diagnostics import Report, did_you_mean, one_of, quote

PROTOCOLS = frozenset({"tcp", "udp"})
ROLES = frozenset({"client", "server"})

_PORT_KEYS = frozenset({"port", "l-port", "any-port"})
_ADDRESS_KEYS = frozenset({"remote-ip", "local-ip"})
_WORDS_OF_KEY = {"proto": ("protocol", PROTOCOLS), "role": ("role", ROLES)}
_LATER_KEYS = frozenset({"remote-host"})


def check(
    statements: Sequence[Statement], report: Report, service_port: values.ServicePort
) -> tuple[Statement, ...]:
    """Return the statements with the values of all conditions resolved; mistakes go to ``report``.

    A value that is wrong is left out of its list. ``service_port`` names ports.
    """
    return _Checker(report, service_port).body(statements)


class _Checker:
    def __init__(self, report: Report, service_port: values.ServicePort) -> None:
        self._report = report
        self._service_port = service_port

    def body(self, statements: Sequence[Statement]) -> tuple[Statement, ...]:
        return tuple(self._statement(statement) for statement in statements)

    def _statement(self, statement: Statement) -> Statement:
        match statement:
            case On():
                return self._on(statement)
            case When():
                return self._when(statement)
            case ScoreInterface():
                self._pattern(statement.pattern)
            case ScoreServer():
                self._later(statement.span, "score-server")
            case Define():
                self._later(statement.span, "define")
            case Include():
                self._later(statement.span, "include")
        return statement

    def _on(self, statement: On) -> On:
        return On(
            conditions=tuple(self._condition(condition) for condition in statement.conditions),
            body=self.body(statement.body),
            otherwise=self.body(statement.otherwise),
            span=statement.span,
        )

    def _when(self, statement: When) -> When:
        self._later(statement.span, "when")
        return When(
            threshold=statement.threshold,
            until=statement.until,
            body=self.body(statement.body),
            otherwise=self.body(statement.otherwise),
            span=statement.span,
        )

    def _condition(self, condition: Condition) -> Condition:
        if condition.key in _LATER_KEYS:
            self._later(condition.span, condition.key)
            return condition
        resolved = [self._value(condition.key, value) for value in condition.values]
        self._repeated(condition.values)
        return Condition(
            key=condition.key,
            values=tuple(value for value in resolved if value is not None),
            negated=condition.negated,
            span=condition.span,
        )

    def _value(self, key: str, value: Value) -> Value | None:
        if isinstance(value, SetReference):
            self._later(value.span, f"${value.name}")
            return None
        assert isinstance(value, Name)
        try:
            return self._resolved(key, value)
        except values.BadValueError as problem:
            self._report.error(value.span, problem.code, problem.message, problem.hint)
            return None

    def _resolved(self, key: str, value: Name) -> Value:
        if not value.text:
            raise values.BadValueError(
                "empty-value", "this name is empty", "write something between the quotes"
            )
        if key in _PORT_KEYS:
            low, high = values.port_range(value.text, self._service_port)
            return NumberRange(low=low, high=high, text=value.text, span=value.span)
        if key in _ADDRESS_KEYS:
            return Prefix(network=values.network(value.text), text=value.text, span=value.span)
        if key in _WORDS_OF_KEY:
            _known_word(value.text, *_WORDS_OF_KEY[key])
        return value

    def _repeated(self, listed: Sequence[Value]) -> None:
        seen: set[str] = set()
        for value in listed:
            text = value.text if isinstance(value, Name) else ""
            if text and text in seen:
                self._report.warning(value.span, "repeated", f"{quote(text)} is already in this list")
            seen.add(text)

    def _pattern(self, pattern: Glob | SetReference | Current) -> None:
        match pattern:
            case SetReference():
                self._later(pattern.span, f"${pattern.name}")
            case Glob(text=""):
                self._report.error(
                    pattern.span, "empty-value", "this pattern is empty", "`*` matches everything"
                )
            case Glob() if _unclosed_bracket(pattern.text):
                message = f"the pattern {quote(pattern.text)} has a `[` without `]`"
                self._report.error(pattern.span, "bad-pattern", message, "add the `]`")

    def _later(self, span: Span, word: str) -> None:
        """Report a part of the language that the engine does not know yet, at its first word."""
        first = Span(
            file=span.file,
            line=span.line,
            column=span.column,
            end_line=span.line,
            end_column=span.column + len(word),
        )
        self._report.error(first, "not-available", f"{quote(word)} is not available in this version yet")


def _known_word(text: str, kind: str, known: frozenset[str]) -> None:
    if text not in known:
        choices = one_of(f"`{word}`" for word in known)
        hint = did_you_mean(text, known) or f"write {choices}"
        raise values.BadValueError(f"unknown-{kind}", f"{quote(text)} is not a {kind}", hint)


def _unclosed_bracket(pattern: str) -> bool:
    """Return whether a `[` begins no character class, by the rules of the shell."""
    start = pattern.find("[")
    while start >= 0:
        # A `]` in first place, also behind `!`, belongs to the class.
        first = start + 2 if pattern[start + 1 : start + 2] == "!" else start + 1
        end = pattern.find("]", first + 1)
        if end < 0:
            return True
        start = pattern.find("[", end + 1)
    return False
