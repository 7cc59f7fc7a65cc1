"""Shell patterns, in the form in which they are compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache

MAX_PATTERNS = 16_384
"""Compiled patterns that are remembered; beyond it the least recently used is compiled anew."""

_MAGIC = frozenset("*?[")


@lru_cache(maxsize=MAX_PATTERNS)
def glob(pattern: str) -> Callable[[str], object]:
    """Return the test whether a name matches a shell pattern; the answer is true or false in an `if`.

    The standard library's own `fnmatch` remembers 256 patterns and compiles all others every time.
    """
    if _MAGIC.isdisjoint(pattern):
        return pattern.__eq__
    return re.compile(translate(pattern)).match
