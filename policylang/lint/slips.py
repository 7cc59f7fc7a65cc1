"""Rules about slips of the pen: what reads like one thing and says another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from policylang import values
from policylang.ast import Condition, Define, Glob, Name, On, Span, Statement, Value, When
from policylang.lint.layout import head_span
from policylang.lint.material import Finding, Material

_NAMES = "remote-host"
_ADDRESSES = "remote-ip"

_COMMENT = re.compile(r"#[^\n]*")


def stands_alone(material: Material) -> Iterator[Finding]:
    """Find statements with an `on` or `when` behind them that looks like theirs and begins another statement.

    It looks so where it ends the line, without a brace: what it is about then stands in a line of its own.
    """
    for statements in material.written.values():
        for listed in _lists(statements):
            for statement, head in pairwise(listed):
                if isinstance(head, On | When) and _looks_like_one(material, statement, head):
                    yield _alone(material.words(statement.span), material.words(head_span(head)), head)


def _lists(statements: Sequence[Statement]) -> Iterator[Sequence[Statement]]:
    """Yield the statements of a file, and those of each body in it."""
    yield statements
    for statement in statements:
        if isinstance(statement, On | When):
            yield from _lists(statement.body)
            yield from _lists(statement.otherwise)


def _alone(said: str, condition: str, head: On | When) -> Finding:
    together = f"`{condition.strip('`')} {said.strip('`')}`"
    return Finding(
        span=head_span(head),
        message=f"{said} does not depend on {condition}, which begins another statement",
        hint=f"write {together} if it should, else begin a line with {condition}",
    )


def _looks_like_one(material: Material, statement: Statement, head: On | When) -> bool:
    place = head_span(head)
    if isinstance(statement, Define | On | When) or statement.span.end_line != place.line or not head.body:
        return False
    begin = head.body[0].span
    return begin.line > place.end_line and "{" not in _between(material, place, begin)


def _between(material: Material, place: Span, begin: Span) -> str:
    """Return what is written behind a place up to where the next begins, without comments and the next."""
    first = material.line(replace(place, line=place.end_line))[place.end_column - 1 :]
    further = (material.line(replace(begin, line=line)) for line in range(place.end_line + 1, begin.line))
    last = material.line(begin)[: begin.column - 1]
    return _COMMENT.sub("", "\n".join((first, *further, last)))


def address_as_name(material: Material) -> Iterator[Finding]:
    """Find `remote-host` with an address: hosts are compared by their names there."""
    for placed in material.layout.heads:
        if isinstance(placed.head, On):
            for condition in placed.head.conditions:
                if condition.key == _NAMES:
                    yield from _addresses(material, condition)


def _addresses(material: Material, condition: Condition) -> Iterator[Finding]:
    found = [value for value in condition.values if _is_address(value)]
    all_of_them = len(found) == len(condition.values)
    # One finding, and one word to change, where it is the key that is wrong.
    for value in found[:1] if all_of_them else found:
        key = replace(
            condition.span,
            end_line=condition.span.line,
            end_column=condition.span.column + len(_NAMES),
        )
        yield Finding(
            span=key if all_of_them else value.span,
            message=f"{material.words(value.span)} is an address, and `{_NAMES}` is about names",
            hint=f"is `{_ADDRESSES}` meant?",
            replacement=_ADDRESSES if all_of_them else "",
        )


def _is_address(value: Value) -> bool:
    if not isinstance(value, Name | Glob):
        return False
    try:
        values.network(value.text)
    except values.BadValueError:
        return False
    return True
