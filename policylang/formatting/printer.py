"""A policy's tree as lines of text in the canonical form.

The words are written in the order in which they were read; what stood between two of them, comments
and empty lines, is looked up in the text when the second is written. So no comment can be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from policylang.formatting.gaps import Gap, read_gap
from policylang.formatting.words import Word, words_of

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token] | Token

INDENT = "    "

WIDTH = 100
"""Columns that a line has, comments aside, where it can be broken."""


def canonical(tree: Tree[Token], text: str) -> str:
    """Return a policy in the canonical form.

    Args:
        tree: The policy's tree, without mistakes and of bounded depth.
        text: The text that it was read from.
    """
    return _Printer(text).file(tree)


class _Printer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._read = 0  # offset behind the last word that was read
        self._lines: list[str] = []
        self._ends_in_word = False  # so that a trailing comment may join the last line
        self._opens = True  # so that no empty line comes first in a body or in the file

    def file(self, tree: Tree[Token]) -> str:
        for node in tree.children:
            self._statement(node, "")
        self._comments(read_gap(self._text[self._read :], after_word=True), "")
        return "\n".join([*self._lines, ""])

    # ---- statements ---------------------------------------------------------------

    def _statement(self, node: Node, indent: str) -> None:
        gap = self._gap(_first(node))
        self._comments(gap, indent)
        if gap.spaced:
            self._empty_line()
        self._begun(node, indent, indent)

    def _begun(self, node: Node, indent: str, start: str) -> None:
        """Write a statement whose first word has been read.

        Args:
            node: The statement.
            indent: The indentation of its later lines.
            start: What its first line begins with.
        """
        assert not isinstance(node, str)
        if node.data == "conditional":
            self._conditional(node.children, indent, start)
        elif node.data == "section":
            self._write(f"{start}monitor-policy {{")
            self._body(node.children[1], indent)
        else:
            self._words(words_of(node), start, indent + INDENT)

    def _conditional(self, parts: Sequence[Node], indent: str, start: str) -> None:
        head, body, *otherwise = parts
        assert not isinstance(head, str)
        words = words_of(head)
        if _is_block(body):
            words[-1] = words[-1]._replace(text=words[-1].text + " {")
        # Deeper than the body, so that nobody takes a value for a statement.
        self._words(words, start, indent + 2 * INDENT)
        self._body(body, indent)
        if otherwise:
            word, other = otherwise
            self._otherwise(word, other, indent, after_block=_is_block(body))

    def _body(self, node: Node, indent: str) -> None:
        """Write a body below the line that opens it; a block's `{` is in that line already."""
        self._opens = True
        inner = indent + INDENT
        if not _is_block(node):
            self._statement(node, inner)
            return
        assert not isinstance(node, str)
        opening, *statements, closing = node.children
        self._comments(self._gap(opening), inner)
        for statement in statements:
            self._statement(statement, inner)
        self._comments(self._gap(closing), inner)
        self._write(indent + "}")

    def _otherwise(self, word: Node, body: Node, indent: str, *, after_block: bool) -> None:
        gap = self._gap(word)
        self._comments(gap, indent)
        start = f"{indent}else"
        if after_block and not gap.comments:
            start = f"{self._lines.pop()} else"
        if _is_block(body):
            self._write(f"{start} {{")
        elif self._is_ladder(body):
            self._gap(_first(body))
            self._begun(body, indent, f"{start} ")
            return
        else:
            self._write(start)
        self._body(body, indent)

    def _is_ladder(self, body: Node) -> bool:
        """Return whether an `else` and its body may share a line: a condition, with no comment before it."""
        begin = _first(body).start_pos
        return (
            not isinstance(body, str)
            and body.data == "conditional"
            and "#" not in self._text[self._read : begin]
        )

    # ---- lines --------------------------------------------------------------------

    def _words(self, words: Sequence[Word], start: str, deeper: str) -> None:
        """Write words of which the first has been read, in as many lines as their comments and length ask."""
        line = start + words[0].text
        for index, word in enumerate(words[1:], 1):
            gap = self._gap(word.token)
            if gap.comments or (word.breakable and len(line) + 1 + _unbroken(words, index) > WIDTH):
                self._write(line)
                self._comments(gap, deeper, spaced=False)
                line = deeper + word.text
            else:
                line += f" {word.text}"
        self._write(line)

    def _gap(self, node: Node) -> Gap:
        """Read on to a word and return what stands before it."""
        assert isinstance(node, str)
        begin, end = node.start_pos, node.end_pos
        assert begin is not None
        assert end is not None
        gap = read_gap(self._text[self._read : begin], after_word=self._read > 0)
        self._read = end
        return gap

    def _write(self, line: str) -> None:
        self._lines.append(line)
        self._ends_in_word = True
        self._opens = False

    def _comments(self, gap: Gap, indent: str, *, spaced: bool = True) -> None:
        for comment in gap.comments:
            if comment.trailing and self._ends_in_word:
                self._lines[-1] += f"  {comment.text}"
            else:
                if spaced and comment.spaced:
                    self._empty_line()
                self._lines.append(indent + comment.text)
                self._opens = False
            self._ends_in_word = False

    def _empty_line(self) -> None:
        if not self._opens:
            self._lines.append("")


def _unbroken(words: Sequence[Word], index: int) -> int:
    """Return how many columns the words from one on take up to the next place for a break."""
    columns = len(words[index].text)
    # A slice would be copied for each of the words.
    for following in range(index + 1, len(words)):
        if words[following].breakable:
            break
        columns += 1 + len(words[following].text)
    return columns


def _is_block(node: Node) -> bool:
    return not isinstance(node, str) and node.data == "block"


def _first(node: Node) -> Token:
    while not isinstance(node, str):
        node = node.children[0]
    return node
