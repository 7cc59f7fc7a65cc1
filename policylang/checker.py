"""The meaning of the words in a policy: what the grammar cannot know.

The parser leaves every value of an `on` as a name. Here the key says what it is: a port
becomes a range, an address a prefix, a set what it holds, a fact's threshold a value in
the fact's unit, and what makes no sense a diagnostic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from monitors.facts import FactTable, Subject
from policylang import values
from policylang.ast import (
    Condition,
    Current,
    Define,
    ExpireRule,
    Glob,
    Include,
    Layer,
    Name,
    NumberRange,
    On,
    Pattern,
    PatternSet,
    Prefix,
    ScoreEffect,
    ScoreInterface,
    ScoreServer,
    SetReference,
    Span,
    Statement,
    Value,
    When,
)
from policylang.build import MAX_DEPTH
from policylang.diagnostics import Report, closest, one_of, question, quote
from policylang.measures import FactSource, resolve_threshold
from policylang.sets import Sets

MAX_SET_USES = 1 << 18
"""Most values that all sets of a policy stand for together, a set counted as often as it is used."""

PROTOCOLS = frozenset({"tcp", "udp"})
ROLES = frozenset({"client", "server"})

PORT_KEYS = frozenset({"port", "l-port", "any-port"})
ADDRESS_KEYS = frozenset({"remote-ip", "local-ip"})
_WORDS_OF_KEY = {"proto": ("protocol", PROTOCOLS), "role": ("role", ROLES)}
_MAGIC = frozenset("*?[")
_OF_LINKS = frozenset({Subject.LINK, Subject.PATH})
_DRIVES_AWAY = {ScoreEffect.NEVER: "rules out", ScoreEffect.AVOID: "avoids"}


@dataclass(slots=True, kw_only=True)
class Context:
    """What the words of a policy mean here.

    Attributes:
        service_port: Looks up the port of a service.
        facts: Tells the facts that `when` may speak of.
        include: Returns the checked statements of the files that an `include` in a file names.
        sets: What `define` has named so far.
        layer: Whose policy is being read.
        link_fact: The fact about links on which the statements being read depend, an included file's too.
        depth: In how many bodies they stand, those around an `include` counted.
        set_uses: How many values were put in the place of sets so far.
    """

    service_port: values.ServicePort
    facts: FactSource
    include: Callable[[Include, Report], tuple[Statement, ...]]
    sets: Sets = field(default_factory=Sets)
    layer: Layer = Layer.SYSTEM
    link_fact: str = ""
    depth: int = 0
    set_uses: int = 0


def check(statements: Sequence[Statement], report: Report, context: Context) -> tuple[Statement, ...]:
    """Return the statements of a file with all their words resolved; mistakes go to ``report``.

    Sets and included files have been put in their places. A value that is wrong is left out of its list.
    """
    return _Checker(report, context).body(statements)


class _Checker:
    def __init__(self, report: Report, context: Context) -> None:
        self._report = report
        self._context = context
        self._fact_table: FactTable | None = None

    def body(self, statements: Sequence[Statement]) -> tuple[Statement, ...]:
        return tuple(checked for statement in statements for checked in self._statement(statement))

    def _nested(self, statement: On | When) -> tuple[Statement, ...]:
        """Check a statement with bodies; included files count as deep as they stand."""
        if self._context.depth >= MAX_DEPTH:
            message = f"conditions are nested more than {MAX_DEPTH} deep, those around an `include` counted"
            self._report.error(statement.span, "too-deep", message)
            return ()
        self._context.depth += 1
        checked = (self._on(statement),) if isinstance(statement, On) else self._when(statement)
        self._context.depth -= 1
        return checked

    def _statement(self, statement: Statement) -> tuple[Statement, ...]:
        if self._report.hopeless:
            return ()
        match statement:
            case On() | When():
                return self._nested(statement)
            case Define():
                self._context.sets.define(statement, self._report)
                return ()
            case Include():
                return self._context.include(statement, self._report)
        self._depends_on_links(statement)
        match statement:
            case ScoreInterface() | ScoreServer():
                self._never_at_rest(statement)
                pattern = self._pattern(statement.pattern)
                return (statement if pattern is statement.pattern else replace(statement, pattern=pattern),)
            case ExpireRule():
                return (replace(statement, layer=self._context.layer),)
        return (statement,)

    def _depends_on_links(self, statement: Statement) -> None:
        """Report a statement about the session as a whole that depends on a fact about single links."""
        if not self._context.link_fact or isinstance(statement, ScoreInterface):
            return
        message = f"`{self._context.link_fact}` is about links, one by one: this can't depend on it"
        self._report.error(
            statement.span, "link-fact", message, "only `score-interface` can, and what leads to it"
        )

    def _never_at_rest(self, statement: ScoreInterface | ScoreServer) -> None:
        """Report what would make a session leave every link as soon as it is there, without a pause."""
        if isinstance(statement, ScoreServer) or not isinstance(statement.pattern, Current):
            return
        if statement.effect in _DRIVES_AWAY:
            verb = _DRIVES_AWAY[statement.effect]
            message = f"this {verb} whatever link a session is on: it would leave each of them at once"
            hint = "name the link, write `*` in a `when` about links, or lower the score: `current -10`"
            self._report.error(statement.span, "never-at-rest", message, hint)

    def _on(self, statement: On) -> On:
        return On(
            conditions=tuple(self._condition(condition) for condition in statement.conditions),
            body=self.body(statement.body),
            otherwise=self.body(statement.otherwise),
            span=statement.span,
        )

    def _when(self, statement: When) -> tuple[Statement, ...]:
        """Check a `when`; one whose fact nobody can measure never holds, so its `else` takes its place."""
        table = self._facts()
        threshold = resolve_threshold(statement.threshold, table, self._report)
        until = statement.until and resolve_threshold(
            statement.until, table, self._report, begun_by=statement.threshold
        )
        if threshold is not None and until is not None and threshold.subject is not until.subject:
            self._two_subjects(statement, table)
        outer = self._context.link_fact
        if threshold is not None and threshold.subject in _OF_LINKS:
            self._context.link_fact = threshold.fact
        body, otherwise = self.body(statement.body), self.body(statement.otherwise)
        self._context.link_fact = outer
        if threshold is None or (statement.until is not None and until is None):
            return otherwise
        return (replace(statement, threshold=threshold, until=until, body=body, otherwise=otherwise),)

    def _two_subjects(self, statement: When, table: FactTable) -> None:
        assert statement.until is not None
        first, second = (table.known[t.fact] for t in (statement.threshold, statement.until))
        message = (
            f"`{first.name}` is about a {first.subject.value}, `{second.name}` about a {second.subject.value}"
        )
        hint = "both thresholds of a `when` must be about the same"
        self._report.error(statement.until.span, "two-subjects", message, hint)

    def _facts(self) -> FactTable:
        if self._fact_table is None:
            self._fact_table = self._context.facts()
        return self._fact_table

    def _condition(self, condition: Condition) -> Condition:
        named = [name for value in condition.values for name in self._names(value)]
        resolved = [self._value(condition.key, name, where) for name, where in named]
        self._repeated(condition.values)
        return Condition(
            key=condition.key,
            values=tuple(value for value in resolved if value is not None),
            negated=condition.negated,
            span=condition.span,
        )

    def _names(self, value: Value) -> list[tuple[Name, SetReference | None]]:
        """Return what stands for a value, and the set that it comes from if it comes from one."""
        if isinstance(value, SetReference):
            return [(name, value) for name in self._held(value)]
        assert isinstance(value, Name)
        return [(value, None)]

    def _held(self, reference: SetReference) -> tuple[Name, ...]:
        """Return what a set holds, unless sets stand for too much already."""
        found = self._context.sets.resolve(reference, self._report)
        before = self._context.set_uses
        self._context.set_uses += len(found)
        if self._context.set_uses <= MAX_SET_USES:
            return found
        if before <= MAX_SET_USES:  # once
            message = f"from here on the sets of this policy stand for more than {MAX_SET_USES} values"
            hint = "use large sets less often: one `on` can hold several statements"
            self._report.error(reference.span, "too-large", message, hint)
        return ()

    def _value(self, key: str, value: Name, origin: SetReference | None) -> Value | None:
        if self._report.hopeless:
            return None
        try:
            return self._resolved(key, value)
        except values.BadValueError as problem:
            self._bad_value(problem, value.span, origin)
            return None

    def _bad_value(self, problem: values.BadValueError, span: Span, origin: SetReference | None) -> None:
        """Report a value where it is used: a set is right or wrong only there."""
        if origin is None:
            self._report.error(span, problem.code, problem.message, problem.hint, problem.replacement)
            return
        message = f"`${origin.name}` holds what does not belong here: {problem.message}"
        self._report.error(origin.span, problem.code, message, f"it is written at {span}")

    def _resolved(self, key: str, value: Name) -> Value:
        if not value.text:
            raise values.BadValueError(
                "empty-value", "this name is empty", "write something between the quotes"
            )
        if key in PORT_KEYS:
            low, high = values.port_range(value.text, self._context.service_port)
            return NumberRange(low=low, high=high, text=value.text, span=value.span)
        if key in ADDRESS_KEYS:
            return Prefix(network=values.network(value.text), text=value.text, span=value.span)
        if key in _WORDS_OF_KEY:
            _known_word(value.text, *_WORDS_OF_KEY[key])
            return value
        if _MAGIC.isdisjoint(value.text):
            return value
        return _glob(value)

    def _repeated(self, listed: Sequence[Value]) -> None:
        seen: set[str] = set()
        for value in listed:
            text = f"${value.name}" if isinstance(value, SetReference) else getattr(value, "text", "")
            if text and text in seen:
                self._report.warning(value.span, "repeated", f"{quote(text)} is already in this list")
            seen.add(text)

    def _pattern(self, pattern: Pattern) -> Pattern:
        if isinstance(pattern, SetReference):
            found = [self._set_glob(name, pattern) for name, _ in self._names(pattern)]
            globs = tuple(glob for glob in found if glob is not None)
            return PatternSet(name=pattern.name, globs=globs, span=pattern.span)
        if isinstance(pattern, Glob):
            try:
                _check_glob(pattern.text)
            except values.BadValueError as problem:
                self._report.error(pattern.span, problem.code, problem.message, problem.hint)
        return pattern

    def _set_glob(self, name: Name, origin: SetReference) -> Glob | None:
        try:
            return _glob(name)
        except values.BadValueError as problem:
            self._bad_value(problem, name.span, origin)
            return None


def _glob(name: Name) -> Glob:
    """Return a name as a pattern; raise what `_check_glob` does."""
    _check_glob(name.text)
    return Glob(text=name.text, span=name.span)


def _check_glob(text: str) -> None:
    """Check that a text is a pattern.

    Raises:
        BadValueError: It is empty, or a `[` in it begins no character class.
    """
    if not text:
        raise values.BadValueError("empty-value", "this pattern is empty", "`*` matches everything")
    if _unclosed_bracket(text):
        message = f"the pattern {quote(text)} has a `[` without `]`"
        raise values.BadValueError("bad-pattern", message, "add the `]`")


def _known_word(text: str, kind: str, known: frozenset[str]) -> None:
    if text not in known:
        choices = one_of(f"`{word}`" for word in known)
        guess = closest(text, known)
        hint = question(guess) or f"write {choices}"
        raise values.BadValueError(f"unknown-{kind}", f"{quote(text)} is not a {kind}", hint, guess)


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
