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
    Condition,
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


@dataclass(frozen=True, slots=True)
class Tally:
    """The score of a candidate and the statements that made it; ``never`` rules it out."""

    value: int
    spans: tuple[Span, ...]
    never: bool = False


class Reading:
    """A policy in a space, with what is cut out of it for each question."""

    def __init__(self, policy: Policy, space: Space) -> None:
        self._statements = policy.statements
        self._space = space
        self._regions: dict[tuple[Condition, ...], Region] = {}
        self._cut: dict[object, Statements] = {}

    def of_kind(self, kind: type[S]) -> Statements:
        """Return the statements of one kind and what leads to them."""
        return self._relevant(kind, lambda statement: isinstance(statement, kind))

    def of_candidate(self, kind: type[Scoring], candidate: Candidate, *, never: bool) -> Statements:
        """Return the statements that rule a candidate out, or those that score it, and what leads to them."""
        return self._relevant(
            (kind, candidate, never),
            lambda s: (
                isinstance(s, kind) and (s.effect is ScoreEffect.NEVER) is never and matches(s, candidate)
            ),
        )

    def last(self, kind: type[S], asked: Asked) -> S | None:
        """Return the last statement of a kind that applies."""
        return next(self.every(kind, asked), None)

    def every(self, kind: type[S], asked: Asked) -> Iterator[S]:
        """Yield all statements of a kind that apply, the last one first."""
        for statement in self._backwards(self.of_kind(kind), asked, self._space.everything, ""):
            assert isinstance(statement, kind)
            yield statement

    def never(self, kind: type[Scoring], candidate: Candidate, asked: Asked) -> Span | None:
        """Return a statement that rules a candidate out, if one does."""
        found = self._scoring(kind, candidate, asked, never=True)
        return next((statement.span for statement in found), None)

    def score(self, kind: type[Scoring], candidate: Candidate, asked: Asked) -> Tally:
        """Return the score of a candidate that is not ruled out."""
        value, spans = 0, []
        for statement in self._scoring(kind, candidate, asked, never=False):
            value += statement.amount
            spans.append(statement.span)
            if statement.effect is ScoreEffect.SET:
                break
        return Tally(value, tuple(reversed(spans)))

    def _scoring(
        self, kind: type[Scoring], candidate: Candidate, asked: Asked, *, never: bool
    ) -> Iterator[Scoring]:
        block = self.of_candidate(kind, candidate, never=never)
        for statement in self._backwards(block, asked, self._space.everything, candidate.about):
            assert isinstance(statement, ScoreInterface | ScoreServer)
            yield statement

    def _backwards(
        self, block: Statements, asked: Asked, connections: Region, point: str
    ) -> Iterator[Statement]:
        """Yield the plain statements that apply; ``connections`` satisfy every `on` further out."""
        for statement in reversed(block):
            match statement:
                case On():
                    inside = connections & self._where(statement.conditions)
                    if asked.has(inside):
                        yield from self._backwards(statement.body, asked, inside, point)
                    else:
                        yield from self._backwards(statement.otherwise, asked, connections, point)
                case When() if not asked.live and statement.threshold.subject in _OF_SESSIONS:
                    yield from self._backwards(statement.otherwise, asked, connections, point)
                case When():
                    body = statement.body if asked.is_on(statement, point) else statement.otherwise
                    yield from self._backwards(body, asked, connections, point)
                case _:
                    yield statement

    def _where(self, conditions: tuple[Condition, ...]) -> Region:
        known = self._regions.get(conditions)
        if known is None:
            known = self._regions[conditions] = self._space.where(conditions)
        return known

    def _relevant(self, key: object, keep: Keep) -> Statements:
        known = self._cut.get(key)
        if known is None:
            known = self._cut[key] = tuple(_cut(self._statements, keep))
        return known


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
