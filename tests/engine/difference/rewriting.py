"""Policies written in other ways that mean the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from policylang.ast import (
    Condition,
    Current,
    Glob,
    MigrateRule,
    NumberRange,
    On,
    PatternSet,
    Policy,
    ScoreEffect,
    ScoreInterface,
    ScoreServer,
    Statement,
    Value,
    When,
)

Statements = tuple[Statement, ...]


def rewritten(random: Random, policy: Policy) -> Policy:
    """Return a policy that means the same."""
    return replace(policy, statements=tuple(_block(random, policy.statements)))


def _block(random: Random, statements: Statements) -> Iterator[Statement]:
    for statement in statements:
        match statement:
            case On():
                inner = replace(
                    statement,
                    conditions=tuple(map(_condition, statement.conditions)),
                    body=tuple(_block(random, statement.body)),
                    otherwise=tuple(_block(random, statement.otherwise)),
                )
                yield _on(random, inner)
            case When():
                yield replace(
                    statement,
                    body=tuple(_block(random, statement.body)),
                    otherwise=tuple(_block(random, statement.otherwise)),
                )
            case ScoreInterface(effect=ScoreEffect.SET) | ScoreServer(effect=ScoreEffect.SET):
                yield from _score(random, statement)
            case MigrateRule() if random.random() < 0.3:
                yield replace(statement, allowed=not statement.allowed)
                yield statement
            case _:
                yield statement


def _on(random: Random, on: On) -> On:
    """Return an `on` with its conditions in another order, nested, or with a second one for the `else`."""
    kind = random.random()
    first, *others = on.conditions
    if kind < 0.3 and others and not on.otherwise:
        nested = replace(on, conditions=tuple(others))
        return replace(on, conditions=(first,), body=(nested,))
    if kind < 0.6:
        return replace(on, conditions=on.conditions[::-1])
    if kind < 0.8 and on.otherwise:
        # Where none of the connections is so, none is so twice.
        return replace(on, otherwise=(replace(on, body=(), otherwise=on.otherwise),))
    return on


def _condition(condition: Condition) -> Condition:
    return replace(condition, values=tuple(part for v in reversed(condition.values) for part in _value(v)))


def _value(value: Value) -> Iterator[Value]:
    if isinstance(value, NumberRange) and value.low < value.high:
        middle = (value.low + value.high) // 2
        yield replace(value, low=middle + 1)
        yield replace(value, high=middle)
    yield value


def _score(random: Random, statement: ScoreInterface | ScoreServer) -> Iterator[Statement]:
    kind = random.random()
    if kind < 0.3:
        yield replace(statement, amount=statement.amount + 7)
        yield replace(statement, effect=ScoreEffect.ADD, amount=-7)
    elif kind < 0.5:
        yield replace(statement, effect=ScoreEffect.ADD, amount=3)
        yield statement
    elif isinstance(statement.pattern, Glob) and kind < 0.8:
        glob = statement.pattern
        yield replace(statement, pattern=PatternSet(name="X", globs=(glob, glob), span=glob.span))
    elif isinstance(statement.pattern, Current):
        yield statement
        yield statement
    else:
        yield statement
