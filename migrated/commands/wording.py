"""How commands put things; it imports nothing, so that none of them is slower for it."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number of things that are called ``noun``: ``1 test``, ``2 tests``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
