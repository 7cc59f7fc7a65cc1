"""The syntax tree of a policy file: frozen values with the place each was written.

Source: the Migrate paper, section V-E and Fig. 10; the statements beyond the
figure are described in ``docs/semantics.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network

from monitors.facts import FactValue, Subject


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """Say where something stands in a policy file.

    Lines and columns count from 1; ``end_column`` is one past the last character.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        """Return ``file:line``, the form in which decisions name a statement."""
        return f"{self.file}:{self.line}"


class Layer(Enum):
    """Whose policy a file is. Layers are read in this order; a later statement wins over an earlier one."""

    DEFAULT = "default"
    SYSTEM = "system"
    USER = "user"
    APPLICATION = "application"


class ScoreEffect(Enum):
    """What a ``score-interface`` or ``score-server`` statement does to a score.

    `NEVER` rules out what matches; `AVOID`, of attachment points alone, makes them last resorts.
    """

    SET = "set"
    ADD = "add"
    NEVER = "never"
    AVOID = "avoid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The word ``current``: the attachment point that the session uses now."""

    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Glob:
    """A shell pattern over the names of attachment points, servers or files."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRange:
    """An inclusive range of numbers; a single number or service name has ``low == high``."""

    low: int
    high: int
    text: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """An address prefix. Host bits are cleared; ``text`` keeps what the author wrote."""

    network: IPv4Network | IPv6Network
    text: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A bare word or quoted text: a protocol, user, program, host or role."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReference:
    """``$NAME``: a set that a ``define`` statement named."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternSet:
    """``$NAME`` where patterns stand, resolved: one of ``globs`` must match. In checked policies only."""

    name: str
    globs: tuple[Glob, ...]
    span: Span


Value = NumberRange | Prefix | Name | Glob | SetReference


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One ``KEY VALUES`` pair of an ``on``: one of ``values`` must match, or none of them if ``negated``."""

    key: str
    values: tuple[Value, ...]
    negated: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number with the unit that the author wrote; ``unit`` is empty for a bare number."""

    value: float
    unit: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a fact is compared with, in the fact's own type and unit. Found in checked policies only."""

    value: FactValue
    text: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """``FACT OP VALUE [for D]``: half of a ``when``.

    ``operator`` is one of ``< <= > >= = !=``, ``hold_s`` is in seconds. In a checked policy ``value``
    is a `Measure` and ``subject`` what the fact is about.
    """

    fact: str
    operator: str
    value: Quantity | Name | Measure
    hold_s: float
    span: Span
    subject: Subject | None = None


Pattern = Glob | SetReference | Current | PatternSet


def globs_of(pattern: Pattern) -> tuple[Glob, ...]:
    """Return the shell patterns that a pattern of a checked policy stands for; none for `current`."""
    match pattern:
        case Glob():
            return (pattern,)
        case PatternSet():
            return pattern.globs
        case _:
            return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreInterface:
    """``score-interface PATTERN N | +N | -N | never | avoid``. ``amount`` is 0 for words."""

    pattern: Pattern
    effect: ScoreEffect
    amount: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreServer:
    """``score-server PATTERN N | +N | -N | never``: rank candidate replica servers."""

    pattern: Pattern
    effect: ScoreEffect
    amount: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateRule:
    """``migrate never`` or ``migrate always``."""

    allowed: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """``margin N``: by how much a challenger must lead the link in use."""

    amount: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """``settle D``: for how many seconds a challenger must lead without a break."""

    duration_s: float
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """``delay D``: how many seconds to wait before acting on a lost link."""

    duration_s: float
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """``adopt`` or ``adopt never``: make connections of unmodified programs into sessions."""

    adopt: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendRule:
    """``suspend after D`` (seconds) or ``suspend never`` (``None``)."""

    after_s: float | None
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireRule:
    """``expire after D`` (seconds) or ``expire never`` (``None``), in a file of ``layer``."""

    after_s: float | None
    span: Span
    layer: Layer = Layer.SYSTEM


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRule:
    """``resume eager`` or ``resume lazy``."""

    eager: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyRule:
    """``notify`` or ``ignore``."""

    notify: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Define:
    """``define NAME = value, ...``: a named set."""

    name: str
    values: tuple[Value, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """``include "glob"``, relative to the including file."""

    pattern: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class On:
    """``on KEY VALUES ... body [else body]``: all conditions must hold on one connection."""

    conditions: tuple[Condition, ...]
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """``when FACT OP VALUE [for D] [until ...] body [else body]``."""

    threshold: Threshold
    until: Threshold | None
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]
    span: Span


Statement = (
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
    | Define
    | Include
    | On
    | When
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One or more policy files, checked, in the order in which they were read.

    ``statements`` holds the bodies of all ``monitor-policy`` blocks one after the
    other; a later statement therefore wins over an earlier one across files too.
    There is no `Define`, `Include`, `SetReference`, `Quantity` or unresolved `Threshold` in it.
    """

    files: tuple[str, ...]
    statements: tuple[Statement, ...]


def walk(statements: Iterable[Statement]) -> Iterator[Statement]:
    """Yield statements, each before those in its bodies, in the order of the text."""
    for statement in statements:
        yield statement
        if isinstance(statement, On | When):
            yield from walk(statement.body)
            yield from walk(statement.otherwise)
