r"""Places in a text: our lines and columns, offsets, and the positions that editors count in.

Our spans count lines by ``\n`` and columns by characters, both from 1. An editor counts from 0,
ends a line at ``\r`` and ``\r\n`` too, and counts columns in the code units that it agreed upon.

Source: Language Server Protocol 3.17, sections "Text Documents" and "Position".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from policylang.ast import Span

_LINE_END = re.compile(r"\r\n|\r|\n")
_SURROGATES = "surrogatepass"  # an editor may send half a character: it is one unit all the same


class Encoding(Enum):
    """In what an editor counts the columns of a line; the values are the protocol's names."""

    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    UTF_32 = "utf-32"


# The codec, and the size of its code units in bytes.
_CODEC = {
    Encoding.UTF_8: ("utf-8", 1),
    Encoding.UTF_16: ("utf-16-le", 2),
    Encoding.UTF_32: ("utf-32-le", 4),
}


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """An editor's position: line and code units before it in that line, both from 0."""

    line: int
    character: int


@dataclass(frozen=True)
class Text:
    """The text of a file with its places.

    Attributes:
        text: The file's content; offsets count its characters.
        encoding: In what the editor counts.
    """

    text: str
    encoding: Encoding = Encoding.UTF_16

    def position(self, offset: int) -> Position:
        """Return the editor's position of an offset; one beyond the text is its end."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self._line_starts, offset) - 1
        return Position(line, self._units(self.text[self._line_starts[line] : offset]))

    def offset(self, position: Position) -> int:
        """Return the offset of an editor's position; beyond the end of a line is that end.

        A position inside of a character is that of its beginning.
        """
        if position.line < 0:
            return 0
        if position.line >= len(self._line_starts):
            return len(self.text)
        start, units = self._line_starts[position.line], position.character
        line = self._line(position.line)
        for index, character in enumerate(line):
            units -= self._units(character)
            if units < 0:
                return start + index
        return start + len(line)

    def span_offsets(self, span: Span) -> tuple[int, int]:
        """Return the offsets of a span's first character and of the one behind its last.

        A span of line 0, the file as a whole, is the first line.
        """
        if not span.line:
            return 0, len(self._line(0))
        start = self._span_offset(span.line, span.column)
        return start, max(start, self._span_offset(span.end_line, span.end_column))

    def _units(self, text: str) -> int:
        codec, size = _CODEC[self.encoding]
        return len(text.encode(codec, _SURROGATES)) // size

    def _span_offset(self, line: int, column: int) -> int:
        starts = self._span_line_starts
        return min(starts[min(line, len(starts)) - 1] + column - 1, len(self.text))

    def _line(self, number: int) -> str:
        """Return a line as the editor counts them, without its end."""
        start = self._line_starts[number]
        end = _LINE_END.search(self.text, start)
        return self.text[start : end.start() if end else len(self.text)]

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @cached_property
    def _span_line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]
