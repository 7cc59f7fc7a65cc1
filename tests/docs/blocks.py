"""The examples of a document: its fenced blocks, section by section.

What a block is, its opening line says:

* ``policy [NAME]``: a policy file, `my.policy` if it has no name of its own;
* ``policy-as-written``: a policy file that the formatter would write otherwise;
* ``policy-error CODE...``: a policy file with exactly these mistakes and warnings;
* ``toml timeline [NAME]``: timelines; without a key `policy` they are about `my.policy`;
* ``console``: commands that begin with `$ migrate`, each followed by what it prints.

A section is a folder of its own. A name below ``examples`` or ``policylang`` is
that of a file of the project, which must say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = (
    ROOT / "README.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
)

_OPENING: Final = re.compile(r"^```(\S.*)$")
_HEADING: Final = re.compile(r"^#+ (.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: the words of its opening line, its text, and where it stands."""

    words: tuple[str, ...]
    text: str
    place: str

    @property
    def kind(self) -> str:
        """Return what it is."""
        return " ".join(self.words[:2]) if self.words[:1] == ("toml",) else self.words[0]

    def name(self, default: str) -> str:
        """Return the name of the file that it is."""
        return (*self.words, default)[len(self.kind.split())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What stands below a heading."""

    title: str
    blocks: tuple[Block, ...]


def sections(document: Path) -> Iterator[Section]:
    """Yield the sections of a document that have blocks."""
    title, blocks = document.name, list[Block]()
    lines = enumerate(document.read_text().splitlines(), 1)
    for number, line in lines:
        if heading := _HEADING.match(line):
            yield from _section(title, blocks)
            title, blocks = f"{document.relative_to(ROOT)}: {heading[1]}", []
        elif line.startswith("```"):
            opening = _OPENING.match(line)
            words = tuple(opening[1].split()) if opening else ("plain",)
            text = "".join(f"{inside}\n" for inside in _until_the_end(lines))
            place = f"{document.relative_to(ROOT)}:{number}"
            blocks.append(Block(words=words, text=text, place=place))
    yield from _section(title, blocks)


def _section(title: str, blocks: list[Block]) -> Iterator[Section]:
    if blocks:
        yield Section(title=title, blocks=tuple(blocks))


def _until_the_end(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        if line == "```":
            return
        yield line
    raise ValueError("a fenced block has no end")
