"""What a comparison of two policies finds."""

from __future__ import annotations

from msgspec import Struct

from monitors.facts import FactValue
from policylang.ast import Span
from policylang.regions import Example


class Decided(Struct, frozen=True, kw_only=True):
    """What one policy decides, in words, and the statements that make it so."""

    text: str
    spans: tuple[Span, ...]


class Circumstance(Struct, frozen=True, kw_only=True):
    """A `when` that bears on a difference.

    Attributes:
        about: ``host``, ``session``, ``connection`` or a link of the example.
        text: What it asks.
        holds: Whether it does.
        fact: The fact it asks about first.
        value: What that may be then; ``None`` where nobody knows it, or where connections differ.
    """

    about: str
    text: str
    holds: bool
    fact: str
    value: FactValue | None


class Difference(Struct, frozen=True, kw_only=True):
    """Sessions that two policies decide differently, by one of them.

    Attributes:
        topic: What is decided: ``links``, ``servers`` or the name of a setting.
        session: For each connection of the example what is special about it, in words of the policy.
        connections: The connections of the example in full.
        candidates: The links or servers that are compared; the one in use is ``in_use``.
        in_use: Which of them the session uses; empty if none.
        circumstances: Conditions that must hold, or not.
        old: What the first policy decides.
        new: What the second does.
        count: How many kinds of sessions, links and conditions the same statements decide differently.
    """

    topic: str
    session: tuple[tuple[str, ...], ...]
    connections: tuple[Example, ...]
    candidates: tuple[str, ...]
    in_use: str
    circumstances: tuple[Circumstance, ...]
    old: Decided
    new: Decided
    count: int = 1
