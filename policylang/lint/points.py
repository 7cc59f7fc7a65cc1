"""Rules about attachment points: patterns that match none, and what drives every session away or none."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from monitors.facts import Subject
from policylang.ast import Current, On, ScoreEffect, ScoreInterface, When, globs_of
from policylang.lint.material import Finding, Material

MAX_NAMED = 8
"""How many of the interfaces that are present a hint names: a host may have hundreds."""


def no_such_interface(material: Material) -> Iterator[Finding]:
    """Find patterns that match none of the interfaces that are present."""
    present = material.interfaces
    if present is None:
        return
    for placed in material.layout.leaves:
        if not isinstance(placed.leaf, ScoreInterface):
            continue
        globs = globs_of(placed.leaf.pattern)
        if globs and not any(_may_match(glob.text, name) for glob in globs for name in present):
            yield Finding(
                span=placed.leaf.pattern.span,
                message=f"{material.words(placed.leaf.pattern.span)} matches no interface that is present",
                hint=f"there are {_listed(present)}" if present else "there is no interface but the loopback",
            )


def never_at_rest(material: Material) -> Iterator[Finding]:
    """Find `score-interface current -N` outside of every `when`: links of equal score take turns for ever."""
    for placed in material.layout.leaves:
        leaf = placed.leaf
        if not isinstance(leaf, ScoreInterface) or not isinstance(leaf.pattern, Current):
            continue
        lowers = leaf.effect is ScoreEffect.ADD and leaf.amount < 0
        if lowers and not any(isinstance(step.head, When) for step in placed.path):
            yield Finding(
                span=leaf.span,
                message="this makes whatever link a session is on the worse one: equal ones take turns",
                hint="put it into a `when` that says what is wrong with the link, or name the link",
            )


def avoids_all(material: Material) -> Iterator[Finding]:
    """Find `score-interface * avoid` outside of every `when` about links: all links are then alike."""
    for placed in material.layout.leaves:
        leaf = placed.leaf
        if not isinstance(leaf, ScoreInterface) or leaf.effect is not ScoreEffect.AVOID:
            continue
        everywhere = any(glob.text == "*" for glob in globs_of(leaf.pattern))
        if everywhere and not any(_tells_links_apart(step.head) for step in placed.path):
            yield Finding(
                span=leaf.span,
                message="this makes every link a last resort, and so none",
                hint="name the links to avoid, or put it into a `when` about links",
            )


def _tells_links_apart(head: On | When) -> bool:
    return isinstance(head, When) and head.threshold.subject in (Subject.LINK, Subject.PATH)


def _may_match(pattern: str, interface: str) -> bool:
    """Return whether a pattern matches an interface or may match the label of an address on it.

    Labels come and go with their addresses, so only what stands before the colon counts. A colon
    in a character class may be one or not.
    """
    before, colon, _ = pattern.partition(":")
    return fnmatchcase(interface, pattern) or (
        bool(colon) and ("[" in before or fnmatchcase(interface, before))
    )


def _listed(names: frozenset[str]) -> str:
    shown = [f"`{name}`" for name in sorted(names)]
    return ", ".join(shown[:MAX_NAMED] + ["others"] * (len(shown) > MAX_NAMED))
