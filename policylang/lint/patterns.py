"""How the patterns of `score-interface` and `score-server`, and names in general, lie to each other."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

from policylang.ast import Current, ScoreInterface, ScoreServer, globs_of
from policylang.globs import ANY_NAME, Alphabet, TooComplexError, names_of
from policylang.values import host_name

Scoring = ScoreInterface | ScoreServer

_MAGIC = frozenset("*?[")


def covers(wide: Scoring, narrow: Scoring) -> bool:
    """Return whether a statement scores all that another one does, as far as single patterns tell."""
    if isinstance(narrow.pattern, Current):
        return isinstance(wide.pattern, Current) or "*" in _globs(wide)
    return all(any(glob_covers(text, other) for text in _globs(wide)) for other in _globs(narrow))


def may_meet(first: Scoring, second: Scoring) -> bool:
    """Return whether two statements may score the same point or server."""
    if isinstance(first.pattern, Current) or isinstance(second.pattern, Current):
        return True
    return any(_related(a, b)[1] for a in _globs(first) for b in _globs(second))


def glob_covers(wide: str, narrow: str, alphabet: Alphabet = ANY_NAME) -> bool:
    """Return whether one shell pattern matches every name that another does."""
    return wide in ("*", narrow) or _related(narrow, wide, alphabet)[0]


def _related(first: str, second: str, alphabet: Alphabet = ANY_NAME) -> tuple[bool, bool]:
    """Return whether all that the first pattern matches is matched by the second, and whether any is."""
    if alphabet == ANY_NAME and "[" not in first and "[" not in second:
        if _MAGIC.isdisjoint(first):
            matched = first == second or fnmatchcase(first, second)
            return matched, matched
        if _MAGIC.isdisjoint(second):
            return False, fnmatchcase(second, first)  # a star and a `?` match more than one name
        if not _ends_agree(first, second):
            return False, False
    return _compared(first, second, alphabet)


def _ends_agree(first: str, second: str) -> bool:
    """Return whether what two patterns say of the beginning and the end of a name can both be so."""
    return all(
        a.startswith(b) or b.startswith(a)
        for a, b in (
            (_before_magic(first), _before_magic(second)),
            (_before_magic(first[::-1]), _before_magic(second[::-1])),
        )
    )


def _before_magic(pattern: str) -> str:
    return pattern.partition("*")[0].partition("?")[0]


@lru_cache(maxsize=8192)
def _compared(first: str, second: str, alphabet: Alphabet) -> tuple[bool, bool]:
    try:
        found = names_of((first, second), alphabet=alphabet)
    except TooComplexError:
        return False, True
    return frozenset({0}) not in found, frozenset({0, 1}) in found


def _globs(statement: Scoring) -> tuple[str, ...]:
    texts = tuple(glob.text for glob in globs_of(statement.pattern))
    return texts if isinstance(statement, ScoreInterface) else tuple(map(host_name, texts))
