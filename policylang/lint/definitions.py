"""Rules about what was written as it was written: sets that nobody uses, blocks that do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policylang.ast import (
    Define,
    Include,
    On,
    ScoreInterface,
    ScoreServer,
    SetReference,
    Statement,
    When,
    walk,
)
from policylang.lint.layout import head_span, without_places
from policylang.lint.material import Finding, Material


def unused_set(material: Material) -> Iterator[Finding]:
    """Find sets that are defined and never used.

    A file that holds nothing but sets is a library for others: what it defines may be used there.
    """
    files = material.written.values()
    used = {name for statements in files for name in _used(statements)}
    for statements in files:
        if all(isinstance(statement, Define | Include) for statement in statements):
            continue
        for define in _defined(statements):
            if define.name not in used:
                message = f"the set `${define.name}` is never used"
                yield Finding(span=define.span, message=message, hint="use it or take it out")


def block_without_effect(material: Material) -> Iterator[Finding]:
    """Find an `on` or `when` that makes no difference: it says nothing, or the same in both its bodies."""
    for statements in material.written.values():
        for statement in walk(statements):
            if not isinstance(statement, On | When) or not (statement.body or statement.otherwise):
                continue
            span = head_span(statement)
            if all(isinstance(inner, Define) for inner in (*statement.body, *statement.otherwise)):
                message, hint = "this block says nothing about any session", "take it out"
            elif without_places(statement.body) == without_places(statement.otherwise):
                message, hint = "the `else` says the same as the body", "take the condition out"
            else:
                continue
            yield Finding(span=span, message=f"{material.words(span)} has no effect: {message}", hint=hint)


def _defined(statements: Sequence[Statement]) -> Iterator[Define]:
    return (statement for statement in walk(statements) if isinstance(statement, Define))


def _used(statements: Sequence[Statement]) -> Iterator[str]:
    """Yield the names of the sets that are used, also by other sets."""
    for statement in walk(statements):
        match statement:
            case (
                ScoreInterface(pattern=SetReference(name=name)) | ScoreServer(pattern=SetReference(name=name))
            ):
                yield name
            case Define(values=values):
                yield from (value.name for value in values if isinstance(value, SetReference))
            case On(conditions=conditions):
                for condition in conditions:
                    yield from (v.name for v in condition.values if isinstance(v, SetReference))
