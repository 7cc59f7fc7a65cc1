"""Corrections that an editor can carry out."""

from __future__ import annotations

from dataclasses import dataclass

from policylang.diagnostics import Diagnostic
from policylang.editing.text import Text


@dataclass(frozen=True, slots=True)
class Edit:
    """Write ``text`` in place of what stands from offset ``start`` to offset ``end``."""

    start: int
    end: int
    text: str


def correction(diagnostic: Diagnostic, text: Text) -> Edit | None:
    """Return the edit that corrects what a diagnostic complains about, where it is known."""
    if not diagnostic.replacement:
        return None
    return Edit(*text.span_offsets(diagnostic.span), diagnostic.replacement)


def difference(old: str, new: str) -> Edit | None:
    """Return the one edit, of whole lines, that makes the old text the new one; ``None`` if they are equal.

    What is before and behind it stays, so that an editor keeps its marks there.
    """
    if old == new:
        return None
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    first = _common(before, after)
    last = min(_common(before[::-1], after[::-1]), len(before) - first, len(after) - first)
    start = sum(map(len, before[:first]))
    end = len(old) - sum(map(len, before[len(before) - last :]))
    return Edit(start, end, "".join(after[first : len(after) - last]))


def _common(one: list[str], other: list[str]) -> int:
    """Return how many lines both have in common at the beginning."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
