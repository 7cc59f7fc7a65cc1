"""What stands between two words of a policy: comments and empty lines."""

from __future__ import annotations

import re
from typing import NamedTuple

_COMMENT = re.compile(r"#[^\n]*")
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")


class Comment(NamedTuple):
    """A comment, without blanks at its end.

    Attributes:
        text: The comment with its ``#``.
        trailing: Whether it follows the word before it on the same line.
        spaced: Whether there is an empty line before it.
    """

    text: str
    trailing: bool
    spaced: bool


class Gap(NamedTuple):
    """What stands between two words.

    Attributes:
        comments: The comments, in order.
        spaced: Whether there is an empty line between the last of them and the word.
    """

    comments: tuple[Comment, ...] = ()
    spaced: bool = False


def read_gap(between: str, *, after_word: bool) -> Gap:
    """Return what stands in the text between two words: blanks, comments, ``,`` and ``;``.

    Args:
        between: The text.
        after_word: Whether a word stands before it on the same line; false where a file begins.
    """
    comments: list[Comment] = []
    end = 0
    for match in _COMMENT.finditer(between):
        before = between[end : match.start()]
        trailing = after_word and end == 0 and "\n" not in before
        comments.append(Comment(match[0].rstrip(), trailing, _has_empty_line(before)))
        end = match.end()
    return Gap(tuple(comments), _has_empty_line(between[end:]))


def _has_empty_line(text: str) -> bool:
    return _EMPTY_LINE.search(text) is not None
