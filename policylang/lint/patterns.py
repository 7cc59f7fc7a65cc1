"""How the patterns of `score-interface` and `score-server`, and names in general, lie to each other."""

from __future__ import annotations

from functools import lru_cache

from policylang.ast import Current, Glob, PatternSet, ScoreInterface, ScoreServer
from policylang.globs import ANY_NAME, Alphabet, TooComplexError, names_of

Scoring = ScoreInterface | ScoreServer


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


@lru_cache(maxsize=8192)
def _related(first: str, second: str, alphabet: Alphabet = ANY_NAME) -> tuple[bool, bool]:
    """Return whether all that the first pattern matches is matched by the second, and whether any is."""
    try:
        found = names_of((first, second), alphabet=alphabet)
    except TooComplexError:
        return False, True
    return frozenset({0}) not in found, frozenset({0, 1}) in found


def _globs(statement: Scoring) -> tuple[str, ...]:
    match statement.pattern:
        case Glob(text=text):
            texts: tuple[str, ...] = (text,)
        case PatternSet(globs=globs):
            texts = tuple(glob.text for glob in globs)
        case _:
            return ()
    return texts if isinstance(statement, ScoreInterface) else tuple(map(host_name, texts))


def host_name(text: str) -> str:
    """Return a host's name, or a pattern of such, as it is compared: without case and a dot behind it."""
    return text.lower().removesuffix(".")
