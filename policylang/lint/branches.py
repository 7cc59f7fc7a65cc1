"""Rules about `on` and `when` whose answer is certain by what stands around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policylang.ast import On, When
from policylang.lint.layout import PlacedHead
from policylang.lint.material import Finding, Material
from policylang.lint.thresholds import always_on, never_on


def contradiction(material: Material) -> Iterator[Finding]:
    """Find an `on` or `when` that never holds where it stands."""
    for placed in _reached(material):
        if _never(material, placed):
            alone = replace(placed, path=())
            reason = (
                ": its conditions exclude each other"
                if _never(material, alone)
                else ", by what stands around it"
            )
            yield Finding(
                span=placed.span,
                message=f"{material.words(placed.span)} never holds here{reason}",
                hint="its body is never read: move it out, or correct one of the conditions",
            )


def unreachable_else(material: Material) -> Iterator[Finding]:
    """Find an `else` whose `on` or `when` always holds where it stands."""
    for placed in _reached(material):
        if placed.head.otherwise and _always(material, placed):
            yield Finding(
                span=placed.head.otherwise[0].span,
                message=f"this `else` is never read: {material.words(placed.span)} always holds here",
                hint="take the `else` out, or correct the condition",
            )


def always_holds(material: Material) -> Iterator[Finding]:
    """Find an `on` or `when` within others that says nothing which they don't say already."""
    for placed in _reached(material):
        head = placed.head
        if not placed.path or head.otherwise or not _always(material, placed):
            continue
        if isinstance(head, When) or not material.reach.everywhere(head):
            yield Finding(
                span=placed.span,
                message=f"{material.words(placed.span)} always holds here, by what stands around it",
                hint="leave the condition out, or correct it",
            )


def _reached(material: Material) -> Iterator[PlacedHead]:
    return (placed for placed in material.layout.heads if not material.reach.dead(placed.path))


def _never(material: Material, placed: PlacedHead) -> bool:
    match placed.head:
        case On() as on:
            return material.reach.impossible(on, placed.path)
        case When() as when:
            return never_on(when, placed.path)


def _always(material: Material, placed: PlacedHead) -> bool:
    match placed.head:
        case On() as on:
            return material.reach.satisfied(on, placed.path)
        case When() as when:
            return always_on(when, placed.path)
