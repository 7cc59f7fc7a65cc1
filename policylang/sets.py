"""The named sets of a policy: what `define` names, for all that is read after it."""

from __future__ import annotations

from policylang.ast import Define, Name, SetReference, Span
from policylang.diagnostics import Report, closest, question, quote

MAX_SET_VALUES = 4096
"""Most values in one set, those of the sets that it takes in included: sets of sets grow fast."""


class Sets:
    """The sets defined so far, across all files, in the order of reading.

    A set holds names as they were written. Whether ``ssh`` is a port or a user is
    decided by the condition in which the set is used.
    """

    def __init__(self) -> None:
        self._defined: dict[str, tuple[Span, tuple[Name, ...]]] = {}
        self._failed: set[str] = set()

    def define(self, statement: Define, report: Report) -> None:
        """Take in a `define`; mistakes go to ``report``."""
        known = self._defined.get(statement.name)
        if known is not None:
            message = f"the set `${statement.name}` is defined already, at {known[0]}"
            report.error(statement.span, "redefined", message, "give one of them another name")
            return
        listed = [name for value in statement.values for name in self._names(value, report)]
        if len(listed) > MAX_SET_VALUES:
            message = f"the set `${statement.name}` has more than {MAX_SET_VALUES} values"
            report.error(statement.span, "too-large", message)
            del listed[MAX_SET_VALUES:]
        self._defined[statement.name] = (statement.span, tuple(listed))

    def resolve(self, reference: SetReference, report: Report) -> tuple[Name, ...]:
        """Return what a set holds; a set that nobody defined goes to ``report``, once, and holds nothing."""
        known = self._defined.get(reference.name)
        if known is not None:
            return known[1]
        if reference.name not in self._failed and not report.hopeless:
            self._failed.add(reference.name)
            close = closest(reference.name, self._defined)
            guess = f"${close}" if close else ""
            hint = question(guess) or "write `define` before its first use"
            message = f"the set {quote('$' + reference.name)} is not defined"
            report.error(reference.span, "undefined", message, hint, guess)
        return ()

    def _names(self, value: object, report: Report) -> tuple[Name, ...]:
        if isinstance(value, SetReference):
            return self.resolve(value, report)
        assert isinstance(value, Name)
        return (value,)
