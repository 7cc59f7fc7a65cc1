"""A class of sessions: the statements that apply to it, and the scores they give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from msgspec import Struct

from policylang.ast import (
    Adopt,
    Current,
    Delay,
    ExpireRule,
    Glob,
    Margin,
    MigrateRule,
    NotifyRule,
    PatternSet,
    ResumeRule,
    ScoreEffect,
    ScoreInterface,
    SetReference,
    Settle,
    Span,
    SuspendRule,
)

MAX_SCORED_NAMES = 1024
"""Scores remembered per class; hosts that make up new link names for ever must not fill the memory."""

PlainStatement = (
    ScoreInterface
    | MigrateRule
    | Margin
    | Settle
    | Delay
    | Adopt
    | SuspendRule
    | ExpireRule
    | ResumeRule
    | NotifyRule
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value and the statement that set it; no statement where the policy is silent."""

    value: T
    span: Span | None


class Score(Struct, frozen=True, kw_only=True):
    """What the statements say of one name.

    ``spans`` are the statements that made ``value``: the last that set it and those that
    added to it since. ``never`` is the statement that rules the name out, if one does.
    """

    value: int
    spans: tuple[Span, ...]
    never: Span | None


# What holds where a policy says nothing; policylang/default.policy says the same aloud.
_MARGIN = 1
_SETTLE_S = 2.0
_DELAY_S = 0.0
_SUSPEND_AFTER_S = 0.0


class SessionClass:
    """Hold what is common to all sessions of a class. Two classes are equal if they are one object."""

    def __init__(self, family: int, statements: tuple[PlainStatement, ...]) -> None:
        self.family = family
        self.migrate = Setting(True, None)
        self.margin = Setting(_MARGIN, None)
        self.settle_s = Setting(_SETTLE_S, None)
        self.delay_s = Setting(_DELAY_S, None)
        self.suspend_after_s: Setting[float | None] = Setting(_SUSPEND_AFTER_S, None)
        self.adopt = Setting(False, None)
        self.eager = Setting(True, None)
        self._expire: dict[str, ExpireRule] = {}
        self._scores: list[ScoreInterface] = []
        self._known: dict[tuple[str, bool], Score] = {}
        for statement in statements:
            self._apply(statement)

    @property
    def expire(self) -> tuple[ExpireRule, ...]:
        """Return the last `expire` of each file that has one, in the order of the files."""
        return tuple(self._expire.values())

    def score(self, name: str, *, current: bool) -> Score:
        """Return the score of an attachment point of this name; ``current`` if it is the one in use."""
        known = self._known.get((name, current))
        if known is None:
            if len(self._known) >= MAX_SCORED_NAMES:
                self._known.clear()
            known = _score(s for s in self._scores if _matches(s, name, current=current))
            self._known[name, current] = known
        return known

    def _apply(self, statement: PlainStatement) -> None:
        """Take in one more statement; of each kind the last one wins."""
        match statement:
            case ScoreInterface():
                self._scores.append(statement)
            case MigrateRule():
                self.migrate = Setting(statement.allowed, statement.span)
            case Margin():
                self.margin = Setting(statement.amount, statement.span)
            case Settle():
                self.settle_s = Setting(statement.duration_s, statement.span)
            case Delay():
                self.delay_s = Setting(statement.duration_s, statement.span)
            case SuspendRule():
                self.suspend_after_s = Setting(statement.after_s, statement.span)
            case Adopt():
                self.adopt = Setting(statement.adopt, statement.span)
            case ExpireRule():
                # Each file may only shorten what others grant, so none of them replaces another's.
                self._expire[statement.span.file] = statement
            case ResumeRule():
                self.eager = Setting(statement.eager, statement.span)
            case NotifyRule():
                pass  # no effect yet: programs that have registered are always told


def _matches(statement: ScoreInterface, name: str, *, current: bool) -> bool:
    match statement.pattern:
        case Current():
            return current
        case Glob(text=text):
            return fnmatchcase(name, text)
        case PatternSet(globs=globs):
            return any(fnmatchcase(name, glob.text) for glob in globs)
        case SetReference():
            raise AssertionError("sets are resolved by the checker")


def _score(statements: Iterable[ScoreInterface]) -> Score:
    """Read the statements from top to bottom: a number replaces, `+N` adds, `never` stands."""
    value, spans, never = 0, list[Span](), None
    for statement in statements:
        match statement.effect:
            case ScoreEffect.SET:
                value, spans = statement.amount, [statement.span]
            case ScoreEffect.ADD:
                value, spans = value + statement.amount, [*spans, statement.span]
            case ScoreEffect.NEVER:
                never = statement.span
    return Score(value=value, spans=tuple(spans), never=never)
