"""A variant of a class of sessions: the statements that apply to it now, and the scores they give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from msgspec import Struct

from engine.board import NOTHING
from engine.patterns import glob
from policylang.ast import (
    Adopt,
    Current,
    Delay,
    ExpireRule,
    Glob,
    Layer,
    Margin,
    MigrateRule,
    NotifyRule,
    Pattern,
    PatternSet,
    ResumeRule,
    ScoreEffect,
    ScoreInterface,
    ScoreServer,
    SetReference,
    Settle,
    Span,
    SuspendRule,
)
from policylang.values import host_name

if TYPE_CHECKING:
    from engine.classes import SessionClass

MAX_SCORED_NAMES = 1024
"""Scores remembered per variant; hosts that make up new link names for ever must not fill the memory."""

PlainStatement = (
    ScoreInterface
    | ScoreServer
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
S_co = TypeVar("S_co", bound=PlainStatement, covariant=True)


class Guard(NamedTuple):
    """A trigger that must be on, or off, for a statement to apply."""

    trigger: int
    on: bool


class Guarded(NamedTuple, Generic[S_co]):
    """A statement and the triggers that it depends on."""

    statement: S_co
    guards: tuple[Guard, ...]

    def applies(self, on: frozenset[int]) -> bool:
        """Return whether the statement applies where these triggers are on."""
        return all((guard.trigger in on) is guard.on for guard in self.guards)


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value and the statement that set it; no statement where the policy is silent."""

    value: T
    span: Span | None


class Reason(Struct, frozen=True, kw_only=True):
    """One step of an argument; ``span`` is the statement behind it, if a statement is."""

    span: Span | None
    text: str

    def __str__(self) -> str:
        """Return the text, with ``file:line`` where a statement is behind it."""
        return self.text if self.span is None else f"{self.text} ({self.span})"


class Score(Struct, frozen=True, kw_only=True):
    """What the statements say of one name.

    ``never`` is the statement that rules the name out, if one does, and ``avoid`` the one that makes it a
    last resort. ``reasons`` are the statements behind it: the last that set the value, those that added to
    it since, and the one that avoids it.
    """

    value: int
    never: Span | None
    avoid: Span | None
    reasons: tuple[Reason, ...]


# What holds where a policy says nothing; policylang/default.policy says the same aloud.
_MARGIN = 1
_SETTLE_S = 2.0
_DELAY_S = 0.0
_SUSPEND_AFTER_S = 0.0


class Variant:
    """Hold what is common to all sessions of a class for which the same triggers are on.

    Two variants are equal if they are one object. ``base`` is the class, ``on`` the triggers of the host, the
    session and its connections that are on. The scores may depend on others, those in
    ``guards``, which are on or off for each attachment point.
    """

    def __init__(
        self, base: SessionClass, on: frozenset[int], statements: Iterable[Guarded[PlainStatement]]
    ) -> None:
        self.base = base
        self.on = on
        self.family = base.family
        self.migrate = Setting(True, None)
        self.margin = Setting(_MARGIN, None)
        self.settle_s = Setting(_SETTLE_S, None)
        self.delay_s = Setting(_DELAY_S, None)
        self.suspend_after_s: Setting[float | None] = Setting(_SUSPEND_AFTER_S, None)
        self.adopt = Setting(False, None)
        self.eager = Setting(True, None)
        self.notify = Setting(True, None)
        self._expire: dict[Layer, ExpireRule] = {}
        self._scores: list[Guarded[ScoreInterface]] = []
        self._servers: list[ScoreServer] = []
        self._spans: list[Span] = []
        self._known: dict[tuple[str, bool, frozenset[int]], Score] = {}
        for guarded in statements:
            self._apply(guarded)
        self.guards = frozenset(guard.trigger for item in self._scores for guard in item.guards)

    @property
    def expire(self) -> tuple[ExpireRule, ...]:
        """Return the last `expire` of each layer; the shipped one is a default, and no bound to any other."""
        others = tuple(rule for layer, rule in self._expire.items() if layer is not Layer.DEFAULT)
        return others or tuple(self._expire.values())

    def score(self, name: str, current: bool, on: frozenset[int] = NOTHING) -> Score:
        """Return the score of an attachment point.

        Args:
            name: the point's name.
            current: whether it is the one in use.
            on: those of ``guards`` that are on for it.
        """
        key = (name, current, on)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_SCORED_NAMES:
                self._known.clear()
            applying = (item.statement for item in self._scores if item.applies(on))
            known = _score(name, (s for s in applying if _matches(s.pattern, name, current=current)))
            self._known[key] = known
        return known

    def server_score(self, name: str, *, current: bool) -> Score:
        """Return the score of a candidate server; ``current`` if it is the one in use."""
        compared = host_name(name)
        matching = (s for s in self._servers if _matches_server(s.pattern, compared, current=current))
        return _score(name, matching)

    def applied(self, points: Iterable[frozenset[int]]) -> frozenset[Span]:
        """Return the statements in force, given which triggers are on for each of the points."""
        alternatives = set(points)
        scores = (i.statement.span for i in self._scores if not i.guards or any(map(i.applies, alternatives)))
        return frozenset((*self._spans, *scores))

    def _apply(self, guarded: Guarded[PlainStatement]) -> None:
        """Take in one more statement; of each kind the last one wins."""
        statement = guarded.statement
        if isinstance(statement, ScoreInterface):
            self._scores.append(Guarded(statement, guarded.guards))
            return
        assert not guarded.guards, "only a score may depend on facts about links"
        self._spans.append(statement.span)
        match statement:
            case ScoreServer():
                self._servers.append(statement)
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
                # Each layer may only shorten what others grant, so none of them replaces another's.
                self._expire[statement.layer] = statement
            case ResumeRule():
                self.eager = Setting(statement.eager, statement.span)
            case NotifyRule():
                self.notify = Setting(statement.notify, statement.span)


def _matches(pattern: Pattern, name: str, *, current: bool) -> bool:
    match pattern:
        case Current():
            return current
        case Glob(text=text):
            return bool(glob(text)(name))
        case PatternSet(globs=globs):
            return any(glob(item.text)(name) for item in globs)
        case SetReference():
            raise AssertionError("sets are resolved by the checker")


def _matches_server(pattern: Pattern, name: str, *, current: bool) -> bool:
    """Return whether a pattern matches a server; hosts' names have no case."""
    match pattern:
        case Glob(text=text):
            return bool(glob(host_name(text))(name))
        case PatternSet(globs=globs):
            return any(glob(host_name(item.text))(name) for item in globs)
    return _matches(pattern, name, current=current)


def _score(name: str, statements: Iterable[ScoreInterface | ScoreServer]) -> Score:
    """Read the statements from top to bottom: a number replaces, `+N` adds, `never` and `avoid` stand."""
    value, spans, never, avoid = 0, list[Span](), None, None
    for statement in statements:
        match statement.effect:
            case ScoreEffect.SET:
                value, spans = statement.amount, [statement.span]
            case ScoreEffect.ADD:
                value, spans = value + statement.amount, [*spans, statement.span]
            case ScoreEffect.NEVER:
                never = statement.span
            case ScoreEffect.AVOID:
                avoid = statement.span
    reasons: tuple[Reason, ...]
    if never is not None:
        reasons = (Reason(span=never, text=f"`{name}` is ruled out by `never`"),)
    else:
        reasons = (*_counted(name, value, spans), *_avoided(name, avoid))
    return Score(value=value, never=never, avoid=avoid, reasons=reasons)


def _counted(name: str, value: int, spans: list[Span]) -> tuple[Reason, ...]:
    """Return the statements that gave a name its score."""
    if not spans:
        return (Reason(span=None, text=f"`{name}` scores 0: no statement applies"),)
    *steps, last = spans
    added = tuple(Reason(span=span, text=f"counts towards the score of `{name}`") for span in steps)
    return (*added, Reason(span=last, text=f"`{name}` scores {value}"))


def _avoided(name: str, avoid: Span | None) -> tuple[Reason, ...]:
    return () if avoid is None else (Reason(span=avoid, text=f"`{name}` is a last resort, by `avoid`"),)
