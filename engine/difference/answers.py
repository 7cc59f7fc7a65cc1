"""Questions that are put to two policies, and what each answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.difference.cases import Asked
from engine.difference.reading import Candidate, Reading
from policylang.ast import Span, Statement


@dataclass(frozen=True, slots=True)
class Answer:
    """What one policy decides.

    Attributes:
        value: What is compared.
        text: The same for people.
        spans: The statements that made it so.
    """

    value: object
    text: str
    spans: tuple[Span, ...]


Answers = tuple[Answer, Answer]


@dataclass(frozen=True, slots=True)
class Aspect:
    """One question.

    Attributes:
        topic: What it is about: ``links``, ``servers`` or the name of a setting.
        candidates: The links or servers that it compares.
        bears: Returns what of a policy bears on it; policies that are alike in that answer alike.
        find: Returns the answers of two policies, ``None`` where they don't matter or where they
            differ only by what another question asks.
    """

    topic: str
    candidates: tuple[Candidate, ...]
    bears: Callable[[Reading], object]
    find: Callable[[Reading, Reading, Asked], Answers | None]


def spans_of(found: Statement | Span | None) -> tuple[Span, ...]:
    """Return the place of a statement, if there is one."""
    if found is None:
        return ()
    return (found,) if isinstance(found, Span) else (found.span,)
