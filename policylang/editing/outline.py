"""The outline of a file: its blocks, sets, includes and conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from policylang.ast import Condition, Define, Include, On, Span, Statement, Threshold, When
from policylang.diagnostics import Report
from policylang.editing.scan import Block, blocks
from policylang.editing.text import Text
from policylang.parser import parse


class SymbolKind(Enum):
    """What an entry of the outline is."""

    BLOCK = "block"
    SET = "set"
    INCLUDE = "include"
    CONDITION = "condition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """An entry of the outline.

    Attributes:
        name: What to show.
        kind: What it is.
        start: The offset at which it begins.
        end: The offset behind it.
        head_end: The offset behind what names it: an `on` with its conditions, without its body.
        children: What is inside.
    """

    name: str
    kind: SymbolKind
    start: int
    end: int
    head_end: int
    children: tuple[Symbol, ...] = ()


def outline(text: str) -> tuple[Symbol, ...]:
    """Return the outline of a policy file; what cannot be read is left out."""
    outside = list(_symbols(parse(text, Report(file="", text=text)), Text(text)))
    found: list[Symbol] = []
    for block in blocks(text):
        children = tuple(symbol for symbol in outside if block.start <= symbol.start < block.end)
        outside = [symbol for symbol in outside if not block.start <= symbol.start < block.end]
        found.append(_block(block, children))
    return tuple(sorted([*found, *outside], key=lambda symbol: symbol.start))


def _block(block: Block, children: tuple[Symbol, ...]) -> Symbol:
    return Symbol(
        name="monitor-policy",
        kind=SymbolKind.BLOCK,
        start=block.start,
        end=block.end,
        head_end=block.start + len("monitor-policy"),
        children=children,
    )


def _symbols(statements: Iterable[Statement], index: Text) -> Iterator[Symbol]:
    for statement in statements:
        start, end = index.span_offsets(statement.span)
        match statement:
            case On() | When():
                head_end = index.span_offsets(_head(statement))[1]
                children = (*statement.body, *statement.otherwise)
                yield Symbol(
                    name=_line(index.text[start:head_end]),
                    kind=SymbolKind.CONDITION,
                    start=start,
                    end=end,
                    head_end=head_end,
                    children=tuple(_symbols(children, index)),
                )
            case Define():
                yield Symbol(
                    name=f"${statement.name}", kind=SymbolKind.SET, start=start, end=end, head_end=end
                )
            case Include():
                name = statement.pattern or '""'
                yield Symbol(name=name, kind=SymbolKind.INCLUDE, start=start, end=end, head_end=end)


def _head(statement: On | When) -> Span:
    last: Condition | Threshold
    last = statement.conditions[-1] if isinstance(statement, On) else statement.until or statement.threshold
    return last.span


def _line(text: str) -> str:
    return " ".join(text.split())
