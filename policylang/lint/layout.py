"""A checked policy laid out flat: every statement with the conditions on the way to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace

from policylang.ast import (
    Adopt,
    Define,
    Delay,
    ExpireRule,
    Include,
    Margin,
    MigrateRule,
    NotifyRule,
    On,
    Policy,
    ResumeRule,
    ScoreInterface,
    ScoreServer,
    Settle,
    Span,
    Statement,
    SuspendRule,
    When,
)

Leaf = (
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
"""A statement that holds no others."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One branch that is taken on the way to a statement.

    Attributes:
        number: Of the `on` or `when`, in the order of reading; one that is included twice has two.
        head: The `on` or `when`.
        body: Whether the way leads through its body; else through its `else`.
    """

    number: int
    head: On | When
    body: bool


Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PlacedLeaf:
    """A statement that holds no others, and the way to it."""

    leaf: Leaf
    path: Path
    order: int

    @property
    def span(self) -> Span:
        """Return where it is written."""
        return self.leaf.span


@dataclass(frozen=True, slots=True, eq=False)
class PlacedHead:
    """An `on` or `when`, the way to it, and its number."""

    head: On | When
    path: Path
    number: int

    @property
    def span(self) -> Span:
        """Return where its condition is written, without the bodies."""
        return head_span(self.head)


class Layout:
    """The statements of a policy in the order of reading: ``leaves``, and ``heads`` that hold others."""

    def __init__(self, policy: Policy) -> None:
        self.leaves: list[PlacedLeaf] = []
        self.heads: list[PlacedHead] = []
        self._lay(policy.statements, ())

    def _lay(self, statements: Sequence[Statement], path: Path) -> None:
        for statement in statements:
            match statement:
                case On() | When():
                    number = len(self.heads)
                    self.heads.append(PlacedHead(statement, path, number))
                    self._lay(statement.body, (*path, Step(number, statement, True)))
                    self._lay(statement.otherwise, (*path, Step(number, statement, False)))
                case Define() | Include():
                    raise AssertionError("a checked policy holds no such statement")
                case _:
                    self.leaves.append(PlacedLeaf(statement, path, len(self.leaves)))


def head_span(head: On | When) -> Span:
    """Return the place of an `on` or `when` from its first word to the last of its conditions."""
    last = head.conditions[-1].span if isinstance(head, On) else (head.until or head.threshold).span
    return replace(head.span, end_line=last.end_line, end_column=last.end_column)


def without_places(value: object) -> object:
    """Return a statement, or what is in one, without the places where it was written: fit for comparing."""
    if isinstance(value, tuple):
        return tuple(map(without_places, value))
    if is_dataclass(value):
        parts = (getattr(value, field.name) for field in fields(value) if field.name != "span")
        return type(value), *map(without_places, parts)
    return value
