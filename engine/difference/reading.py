"""One policy, read from the bottom up: the first statement met that applies is the last that does.

Reading backwards asks no more about a session than the answer needs, and before that all
statements that can't bear on the question are cut out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from engine.difference.cases import Asked
from engine.difference.feasible import Trigger
from monitors.facts import Subject
from policylang.ast import (
    Current,
    Glob,
    On,
    PatternSet,
    Policy,
    ScoreEffect,
    ScoreInterface,
    ScoreServer,
    Span,
    Statement,
    When,
)
from policylang.cells import meaning
from policylang.regions import Region, Space

Scoring = ScoreInterface | ScoreServer
Statements = tuple[Statement, ...]
Keep = Callable[[Statement], bool]

_OF_SESSIONS = frozenset({Subject.SESSION, Subject.CONNECTION})

S = TypeVar("S", bound=Statement)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A link or a server that is ranked, by its name.

    Attributes:
        name: What patterns are compared with.
        current: Whether it is the one in use.
        second: Whether it is compared with another of the same name.
    """

    name: str
    current: bool
    second: bool = False

    @property
    def about(self) -> str:
        """Return what tells its facts from those of the other candidate."""
        addition = " in use" if self.current else " (another)" if self.second else ""
        return self.name + addition


_ONE = {effect: frozenset({effect}) for effect in ScoreEffect}
_COUNTING = frozenset({ScoreEffect.SET, ScoreEffect.ADD})


@dataclass(frozen=True, slots=True)
class Tally:
    """The score of a candidate and the statements that made it, in the order of the text."""

    value: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Where:
    """An `on`: ``inside`` are the connections that satisfy it and all around it."""

    inside: Region
    body: _Items
    otherwise: _Items


@dataclass(frozen=True, slots=True)
class _While:
    """A `when`."""

    trigger: Trigger
    body: _Items
    otherwise: _Items


_Items = tuple["_Where | _While | Statement", ...]


class Reading:
    """A policy in a space, with what is cut out of it for each question.

    Args of the constructor: ``regions`` is shared by readings that are asked together, so that equal
    regions are one object.
    """

    def __init__(self, policy: Policy, space: Space, regions: dict[Region, Region]) -> None:
        self._statements = policy.statements
        self._space = space
        self._regions = regions
        self._cut: dict[object, Statements] = {}
        self._compiled: dict[int, _Items] = {}

    def of_kind(self, kind: type[S]) -> Statements:
        """Return the statements of one kind and what leads to them."""
        return self._relevant(kind, lambda statement: isinstance(statement, kind))

    def bearing_on(self, kind: type[Scoring], candidate: Candidate) -> tuple[Statements, ...]:
        """Return what rules a candidate out, what avoids it and what scores it, with what leads there."""
        groups = (_ONE[ScoreEffect.NEVER], _ONE[ScoreEffect.AVOID], _COUNTING)
        return tuple(self._of_candidate(kind, candidate, effects) for effects in groups)

    def _of_candidate(
        self, kind: type[Scoring], candidate: Candidate, effects: frozenset[ScoreEffect]
    ) -> Statements:
        return self._relevant(
            (kind, candidate, effects),
            lambda s: isinstance(s, kind) and s.effect in effects and matches(s, candidate),
        )

    def last(self, kind: type[S], asked: Asked) -> S | None:
        """Return the last statement of a kind that applies."""
        return next(self.every(kind, asked), None)

    def every(self, kind: type[S], asked: Asked) -> Iterator[S]:
        """Yield all statements of a kind that apply, the last one first."""
        for statement in self._applying(self.of_kind(kind), asked, ""):
            assert isinstance(statement, kind)
            yield statement

    def never(self, kind: type[Scoring], candidate: Candidate, asked: Asked) -> Span | None:
        """Return a statement that rules a candidate out, if one does."""
        found = self._scoring(kind, candidate, asked, _ONE[ScoreEffect.NEVER])
        return next((statement.span for statement in found), None)

    def avoided(self, kind: type[Scoring], candidate: Candidate, asked: Asked) -> Span | None:
        """Return a statement that makes a candidate a last resort, if one does."""
        found = self._scoring(kind, candidate, asked, _ONE[ScoreEffect.AVOID])
        return next((statement.span for statement in found), None)

    def score(self, kind: type[Scoring], candidate: Candidate, asked: Asked) -> Tally:
        """Return the score of a candidate that is not ruled out."""
        value, spans = 0, []
        for statement in self._scoring(kind, candidate, asked, _COUNTING):
            value += statement.amount
            spans.append(statement.span)
            if statement.effect is ScoreEffect.SET:
                break
        return Tally(value, tuple(reversed(spans)))

    def _scoring(
        self, kind: type[Scoring], candidate: Candidate, asked: Asked, effects: frozenset[ScoreEffect]
    ) -> Iterator[Scoring]:
        block = self._of_candidate(kind, candidate, effects)
        for statement in self._applying(block, asked, candidate.about):
            assert isinstance(statement, ScoreInterface | ScoreServer)
            yield statement

    def _applying(self, statements: Statements, asked: Asked, point: str) -> Iterator[Statement]:
        """Yield the plain statements that apply, the last one first."""
        # What was cut out once is kept, so that its identity stands for it.
        items = self._compiled.get(id(statements))
        if items is None:
            items = self._compiled[id(statements)] = tuple(self._compile(statements, self._space.everything))
        return _backwards(items, asked, point)

    def _compile(self, statements: Statements, connections: Region) -> Iterator[_Where | _While | Statement]:
        """Yield statements with the regions that they ask for; ``connections`` satisfy all around them."""
        for statement in statements:
            match statement:
                case On():
                    yield from self._compile_on(statement, connections)
                case When():
                    body, otherwise = (
                        tuple(self._compile(block, connections))
                        for block in (statement.body, statement.otherwise)
                    )
                    yield _While(Trigger.of(statement), body, otherwise)
                case _:
                    yield statement

    def _compile_on(self, on: On, connections: Region) -> Iterator[_Where | _While | Statement]:
        inside = connections & self._space.where(on.conditions)
        if not inside:
            yield from self._compile(on.otherwise, connections)
        elif connections <= inside:
            yield from self._compile(on.body, connections)
        else:
            inside = self._regions.setdefault(inside, inside)
            body = tuple(self._compile(on.body, inside))
            yield _Where(inside, body, tuple(self._compile(on.otherwise, connections)))

    def _relevant(self, key: object, keep: Keep) -> Statements:
        known = self._cut.get(key)
        if known is None:
            known = self._cut[key] = tuple(_cut(self._statements, keep))
        return known


def _backwards(items: _Items, asked: Asked, point: str) -> Iterator[Statement]:
    for item in reversed(items):
        match item:
            case _Where():
                yield from _backwards(item.body if asked.has(item.inside) else item.otherwise, asked, point)
            case _While(trigger=trigger):
                known = asked.live or trigger.subject not in _OF_SESSIONS
                holds = known and asked.is_on(trigger, point)
                yield from _backwards(item.body if holds else item.otherwise, asked, point)
            case _:
                yield item


def matches(statement: Scoring, candidate: Candidate) -> bool:
    """Return whether a statement scores a candidate."""
    match statement.pattern:
        case Current():
            return candidate.current
        case Glob(text=text):
            return fnmatchcase(candidate.name, text)
        case PatternSet(globs=globs):
            return any(fnmatchcase(candidate.name, glob.text) for glob in globs)
    raise AssertionError(f"{statement.span}: a checked policy holds no sets")


def _cut(statements: Statements, keep: Keep) -> Iterator[Statement]:
    """Yield the statements to keep, and those with a body that lead to one."""
    for statement in statements:
        if not isinstance(statement, On | When):
            if keep(statement):
                yield statement
            continue
        body, otherwise = tuple(_cut(statement.body, keep)), tuple(_cut(statement.otherwise, keep))
        if body or otherwise:
            yield _with_bodies(statement, body, otherwise)


def _with_bodies(statement: On | When, body: Statements, otherwise: Statements) -> Statement:
    if isinstance(statement, On):
        return On(conditions=statement.conditions, body=body, otherwise=otherwise, span=statement.span)
    return When(
        threshold=statement.threshold,
        until=statement.until,
        body=body,
        otherwise=otherwise,
        span=statement.span,
    )


def shape(statements: Statements) -> object:
    """Return what statements say, wherever they are written: equal shapes mean the same."""
    return tuple(_shape(statement) for statement in statements)


def _shape(statement: Statement) -> object:
    match statement:
        case On():
            asked = frozenset((c.key, meaning(c.values), c.negated) for c in statement.conditions)
            return ("on", asked, shape(statement.body), shape(statement.otherwise))
        case When():
            return ("when", Trigger.of(statement), shape(statement.body), shape(statement.otherwise))
        case ScoreInterface() | ScoreServer():
            # Which pattern makes it bear on the candidate in question does not matter.
            return (type(statement), statement.effect, statement.amount)
    fields = (getattr(statement, name) for name in statement.__slots__ if name != "span")
    return (type(statement), *fields)
