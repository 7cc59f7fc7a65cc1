"""The words of a statement as they are written in the canonical form, and where its line may break."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from policylang.expected import KEYS, MODIFIERS, RESERVED

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token] | Token

_BARE = re.compile(r'[^\s{};,#"=<>$][^\s{};,#"=<>]*')
_LIKE_A_NUMBER = re.compile(r"[+-]?[0-9]")
_WORDS_OF_THE_LANGUAGE = RESERVED | KEYS | MODIFIERS
_VALUES = frozenset({"VALUE", "RANGE", "STRING", "REFERENCE"})


class Word(NamedTuple):
    """A word of a statement.

    Attributes:
        token: Where it comes from.
        text: How it is written, with the comma behind it.
        breakable: Whether the line may break before it.
    """

    token: Token
    text: str
    breakable: bool = False


def words_of(tree: Tree[Token]) -> list[Word]:
    """Return the words of a statement that has no body, or those of the head of an `on` or `when`."""
    if tree.data == "on":
        return list(_on(*tree.children))
    if tree.data == "when":
        return list(_when(*tree.children))
    if tree.data == "define":
        return _listed(tree)
    return [Word(token, _written(token, tree.data)) for token in _tokens(tree)]


def _on(on: Node, *conditions: Node) -> Iterator[Word]:
    yield Word(_token(on), "on")
    for number, condition in enumerate(conditions):
        key, *values = _listed(condition)
        yield key._replace(breakable=number > 0)
        yield from values


def _when(when: Node, first: Node, *until: Node) -> Iterator[Word]:
    yield Word(_token(when), "when")
    yield from _threshold(first)
    if until:
        yield Word(_token(until[0]), "until", breakable=True)
        yield from _threshold(until[1])


def _threshold(node: Node) -> Iterator[Word]:
    for token in _tokens(node):
        yield Word(token, _written(token, "threshold"))


def _listed(node: Node) -> list[Word]:
    """Return words of which the values at the end are a list: the line may break between two values."""
    words: list[Word] = []
    for token in _tokens(node):
        follows = token.type in _VALUES and words[-1].token.type in _VALUES
        if follows:
            words[-1] = words[-1]._replace(text=words[-1].text + ",")
        words.append(Word(token, _written(token, "values"), breakable=follows))
    return words


def _written(token: Token, place: str) -> str:
    """Return a word as it is written: ranges without blanks, and quotes only where they are needed."""
    if token.type == "RANGE":
        return "".join(token.split())
    if token.type == "STRING" and place != "include" and _means_the_same_bare(token[1:-1], place):
        return token[1:-1]
    return str(token)


def _means_the_same_bare(text: str, place: str) -> bool:
    # Words of the language keep their quotes also where they would be names without them, for the reader.
    if text in _WORDS_OF_THE_LANGUAGE or not _BARE.fullmatch(text):
        return False
    return place != "threshold" or not _LIKE_A_NUMBER.match(text)


def _tokens(node: Node) -> list[Token]:
    assert not isinstance(node, str)
    return [child for child in node.children if isinstance(child, str)]


def _token(node: Node) -> Token:
    assert isinstance(node, str)
    return node
