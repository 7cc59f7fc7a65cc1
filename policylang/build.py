"""The parse tree of one file as statements of the syntax tree, values unchecked but for numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from policylang import ast, values
from policylang.diagnostics import Report

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token] | Token

_T = TypeVar("_T")
_Pattern = ast.Glob | ast.SetReference | ast.Current

MAX_DEPTH = 64
"""How deeply ``on``, ``when`` and ``else`` may be nested; what walks the tree may then recurse."""


def build(tree: Tree[Token], report: Report) -> tuple[ast.Statement, ...]:
    """Return the statements of a file; what could not be read is left out.

    Mistakes in numbers and durations, empty blocks and too deep nesting go to
    ``report``; a number that is wrong stands as 0.
    """
    return _Builder(report).statements(tree.children, depth=0)


class _Builder:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._makers: dict[str, Callable[[Tree[Token]], ast.Statement]] = {
            "score_interface": self._score_interface,
            "score_server": self._score_server,
            "migrate": lambda tree: ast.MigrateRule(
                allowed=_last(tree).type == "ALWAYS", span=self._span(tree)
            ),
            "margin": lambda tree: ast.Margin(amount=self._margin(_last(tree)), span=self._span(tree)),
            "settle": lambda tree: ast.Settle(duration_s=self._duration(_last(tree)), span=self._span(tree)),
            "delay": lambda tree: ast.Delay(duration_s=self._duration(_last(tree)), span=self._span(tree)),
            "adopt": lambda tree: ast.Adopt(adopt=_last(tree).type == "ADOPT", span=self._span(tree)),
            "suspend": lambda tree: ast.SuspendRule(after_s=self._after(tree), span=self._span(tree)),
            "expire": lambda tree: ast.ExpireRule(after_s=self._after(tree), span=self._span(tree)),
            "resume": lambda tree: ast.ResumeRule(eager=_last(tree).type == "EAGER", span=self._span(tree)),
            "notify": lambda tree: ast.NotifyRule(notify=_last(tree).type == "NOTIFY", span=self._span(tree)),
            "define": self._define,
            "include": lambda tree: ast.Include(pattern=_unquoted(_last(tree)), span=self._span(tree)),
        }

    def statements(self, nodes: Iterable[Node], depth: int) -> tuple[ast.Statement, ...]:
        return tuple(statement for node in nodes for statement in self._node(node, depth))

    def _node(self, node: Node, depth: int) -> tuple[ast.Statement, ...]:
        if isinstance(node, str):
            return ()
        if node.data in ("section", "invalid", "block"):
            return self._nested(node, depth)
        if node.data == "conditional":
            return self._conditional(node, depth + 1)
        return (self._makers[node.data](node),)

    def _nested(self, tree: Tree[Token], depth: int) -> tuple[ast.Statement, ...]:
        if tree.data == "block" and len(tree.children) == 2:
            self._report.warning(
                self._span(tree), "empty-block", "this block is empty", "leave it out or fill it"
            )
        return self.statements(tree.children, depth)

    def _conditional(self, tree: Tree[Token], depth: int) -> tuple[ast.Statement, ...]:
        head, body_node, *rest = tree.children
        if depth > MAX_DEPTH:
            message = f"conditions are nested more than {MAX_DEPTH} deep"
            self._report.error(self._span(head), "too-deep", message)
            return ()
        body = self._node(body_node, depth)
        otherwise = self.statements(rest, depth)
        if isinstance(head, str):
            return body + otherwise
        return (self._head(head, body, otherwise, self._span(tree)),)

    def _head(
        self,
        head: Tree[Token],
        body: tuple[ast.Statement, ...],
        otherwise: tuple[ast.Statement, ...],
        span: ast.Span,
    ) -> ast.On | ast.When:
        parts = [node for node in head.children if not isinstance(node, str)]
        if head.data == "on":
            conditions = tuple(self._condition(part) for part in parts)
            return ast.On(conditions=conditions, body=body, otherwise=otherwise, span=span)
        threshold, *until = (self._threshold(part) for part in parts)
        return ast.When(
            threshold=threshold, until=until[0] if until else None, body=body, otherwise=otherwise, span=span
        )

    def _condition(self, tree: Tree[Token]) -> ast.Condition:
        key, *words = _tokens(tree)
        negated = words[0].type == "NOT"
        listed = tuple(self._value(word) for word in words[1 if negated else 0 :])
        return ast.Condition(key=str(key), values=listed, negated=negated, span=self._span(tree))

    def _value(self, token: Token) -> ast.Name | ast.SetReference:
        if token.type == "REFERENCE":
            return ast.SetReference(name=token[1:], span=self._span(token))
        return ast.Name(text=_unquoted(token), span=self._span(token))

    def _threshold(self, tree: Tree[Token]) -> ast.Threshold:
        fact, operator, measure, *rest = _tokens(tree)
        return ast.Threshold(
            fact=str(fact),
            operator=str(operator),
            value=self._measure(measure),
            hold_s=self._duration(rest[-1]) if rest else 0.0,
            span=self._span(tree),
        )

    def _measure(self, token: Token) -> ast.Quantity | ast.Name:
        if token.type != "QUANTITY":
            return ast.Name(text=_unquoted(token), span=self._span(token))
        number, unit = values.quantity(token)
        return ast.Quantity(value=number, unit=unit, span=self._span(token))

    def _define(self, tree: Tree[Token]) -> ast.Define:
        _, name, _, *words = _tokens(tree)
        return ast.Define(name=str(name), values=tuple(map(self._value, words)), span=self._span(tree))

    def _score_interface(self, tree: Tree[Token]) -> ast.ScoreInterface:
        pattern, effect, amount = self._scored(tree)
        return ast.ScoreInterface(pattern=pattern, effect=effect, amount=amount, span=self._span(tree))

    def _score_server(self, tree: Tree[Token]) -> ast.ScoreServer:
        pattern, effect, amount = self._scored(tree)
        return ast.ScoreServer(pattern=pattern, effect=effect, amount=amount, span=self._span(tree))

    def _scored(self, tree: Tree[Token]) -> tuple[_Pattern, ast.ScoreEffect, int]:
        _, pattern, score = _tokens(tree)
        if score.type in ("NEVER", "AVOID"):
            return self._pattern(pattern), ast.ScoreEffect[score.type], 0
        return self._pattern(pattern), *self._read(score, values.score, (ast.ScoreEffect.SET, 0))

    def _pattern(self, token: Token) -> _Pattern:
        span = self._span(token)
        if token.type == "CURRENT":
            return ast.Current(span=span)
        if token.type == "REFERENCE":
            return ast.SetReference(name=token[1:], span=span)
        return ast.Glob(text=_unquoted(token), span=span)

    def _after(self, tree: Tree[Token]) -> float | None:
        last = _last(tree)
        return None if last.type == "NEVER" else self._duration(last)

    def _duration(self, token: Token) -> float:
        return self._read(token, values.duration_s, 0.0)

    def _margin(self, token: Token) -> int:
        return self._read(token, lambda text: values.whole_number(text, values.MAX_SCORE), 0)

    def _read(self, token: Token, parse: Callable[[str], _T], fallback: _T) -> _T:
        try:
            return parse(token)
        except values.BadValueError as problem:
            self._report.error(self._span(token), problem.code, problem.message, problem.hint)
            return fallback

    def _span(self, node: Node) -> ast.Span:
        first, last = _first(node), _last(node)
        return ast.Span(
            file=self._report.file,
            line=first.line or 0,
            column=first.column or 0,
            end_line=last.end_line or 0,
            end_column=last.end_column or 0,
        )


def _tokens(tree: Tree[Token]) -> list[Token]:
    return [node for node in tree.children if isinstance(node, str)]


def _first(node: Node) -> Token:
    while not isinstance(node, str):
        node = node.children[0]
    return node


def _last(node: Node) -> Token:
    while not isinstance(node, str):
        node = node.children[-1]
    return node


def _unquoted(token: Token) -> str:
    if token.type == "RANGE":
        return "".join(token.split())  # `3001 - 3010` is the same value as `3001-3010`
    return token[1:-1] if token.type == "STRING" else str(token)
