"""What a text names, found without parsing it: sets, files to include, blocks.

An editor asks while the text is incomplete. Names can be told apart all the same, because a `$`
begins a reference everywhere and `define` and `include` are reserved words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from policylang.parser import SCRAP

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""The name of a set."""


@dataclass(frozen=True, slots=True)
class Scrap:
    """A word, a delimiter, quoted text or a comment, and the offset at which it begins."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset behind its last character."""
        return self.start + len(self.text)

    @property
    def comment(self) -> bool:
        """Whether it is a comment."""
        return self.text.startswith("#")

    @property
    def quoted(self) -> bool:
        """Whether it is quoted text, its quote perhaps not closed yet."""
        return self.text.startswith('"')


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDefinition:
    """A `define`.

    Attributes:
        name: The set's name, without `$`.
        values: What it holds, as it was written.
        start: The offset of the word `define`.
        end: The offset behind its last value.
        name_start: The offset of the name.
    """

    name: str
    values: tuple[str, ...]
    start: int
    end: int
    name_start: int


@dataclass(frozen=True, slots=True)
class NamedSet:
    """The name of a set where it stands in a text, in its `define` or in a use.

    Attributes:
        name: The name, without `$`.
        start: The offset of the name itself, behind the `$`.
        used: Whether it is a use, with a `$` before it, and no `define`.
    """

    name: str
    start: int
    used: bool

    @property
    def first(self) -> int:
        """The offset of the name or of the `$` before it."""
        return self.start - 1 if self.used else self.start

    @property
    def end(self) -> int:
        """The offset behind the name."""
        return self.start + len(self.name)


@dataclass(frozen=True, slots=True)
class Block:
    """A `monitor-policy` block: the offsets of its first word and behind its last."""

    start: int
    end: int


def scraps(text: str, start: int = 0) -> Iterator[Scrap]:
    """Yield all that stands in a text from an offset outside of any word on, but no blanks."""
    for match in SCRAP.finditer(text, start):
        if not match[0].isspace():
            yield Scrap(match[0], match.start())


def scrap_at(text: str, offset: int) -> Scrap | None:
    """Return what stands at an offset or ends there; of two that touch there, the one behind it."""
    touching = None
    for scrap in scraps(text, text.rfind("\n", 0, offset) + 1):
        if scrap.start > offset:
            break
        if scrap.start <= offset <= scrap.end:
            touching = scrap
    return touching


def set_definitions(text: str) -> tuple[SetDefinition, ...]:
    """Return what a text defines, in its order."""
    found = [scrap for scrap in scraps(text) if not scrap.comment]
    places = (index for index, scrap in enumerate(found) if scrap.text == "define")
    definitions = (_definition(found[index : index + 3], found, index + 3) for index in places)
    return tuple(definition for definition in definitions if definition)


def _definition(head: Sequence[Scrap], found: Sequence[Scrap], first: int) -> SetDefinition | None:
    if len(head) < 3 or not NAME.fullmatch(head[1].text) or head[2].text != "=":
        return None
    values: list[Scrap] = list(found[first : first + 1])
    while first + 2 < len(found) and found[first + 1].text == ",":
        first += 2
        values.append(found[first])
    return SetDefinition(
        name=head[1].text,
        values=tuple(value.text for value in values),
        start=head[0].start,
        end=values[-1].end if values else head[2].end,
        name_start=head[1].start,
    )


def named_sets(text: str) -> tuple[NamedSet, ...]:
    """Return every place where a text names a set, definitions included, in its order."""
    used = (
        NamedSet(scrap.text[1:], scrap.start + 1, used=True)
        for scrap in scraps(text)
        if scrap.text.startswith("$") and NAME.fullmatch(scrap.text, 1)
    )
    defined = (NamedSet(one.name, one.name_start, used=False) for one in set_definitions(text))
    return tuple(sorted([*used, *defined], key=lambda place: place.start))


def named_set_at(text: str, offset: int) -> NamedSet | None:
    """Return the set whose name, or the `$` before it, stands at an offset."""
    for place in named_sets(text):
        if place.first <= offset <= place.end:
            return place
    return None


def include_at(text: str, offset: int) -> Scrap | None:
    """Return the quoted text of the `include` that stands at an offset, on its one line or the two."""
    previous = None
    for scrap in scraps(text):
        if previous and previous.text == "include" and scrap.quoted and previous.start <= offset <= scrap.end:
            return scrap
        previous = scrap
    return None


def include_patterns(text: str) -> tuple[str, ...]:
    """Return what the `include` statements of a text name, in its order."""
    found = [scrap for scrap in scraps(text) if not scrap.comment]
    return tuple(
        scrap.text.strip('"')
        for before, scrap in pairwise(found)
        if before.text == "include" and scrap.quoted
    )


def blocks(text: str) -> tuple[Block, ...]:
    """Return the `monitor-policy` blocks of a text; one that is not closed ends with the text."""
    found: list[Block] = []
    start, depth = None, 0
    for scrap in scraps(text):
        if scrap.text == "monitor-policy":
            start, depth = scrap.start, 0
        depth += {"{": 1, "}": -1}.get(scrap.text, 0)
        if start is not None and scrap.text == "}" and depth <= 0:
            found.append(Block(start, scrap.end))
            start = None
    if start is not None:
        found.append(Block(start, len(text)))
    return tuple(found)
