"""A terminal's screen and what scrolled off it, as output leaves them: pyte's, with what it lacks.

Used when a client takes a terminal over, never while output flows: it reads less than a megabyte a second.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import pyte

from migrated.terminal.modes import ALTERNATE

HISTORY_LINES: Final = 20_000
"""Most lines that scrolled off the screen; what is read is bounded anyway."""

Line = dict[int, pyte.screens.Char]

# pyte prints what it does not know, or fails on it: only plain CSI sequences whose end it knows may pass,
# of the private ones only those that set modes. Strings (DCS, OSC, SOS, PM, APC) go, and so does what is
# cut short.
_SEQUENCE: Final = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]?|[PX^_][^\x1b]*(?:\x1b\\)?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)"
)
_PLAIN: Final = re.compile(
    rb"\x1b(?:\[\?[0-9]{1,5}(?:;[0-9]{1,5})*[hl]"
    rb"|\[[0-9]{0,5}(?:;[0-9]{0,5}){0,32}[@ABCDEFGHJKLMPXadefghlmr]"
    rb"|[78DEHMc]|[()][0B])"
)
_EIGHT_BIT: Final = re.compile("[\x80-\x9f]")


class Screen(pyte.Screen):
    """A screen with an alternate one, and a history.

    Attributes:
        history: the lines that scrolled off the main screen, oldest first.
        aside: lines and cursor of the main screen while the alternate one is shown.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.history: deque[Line] = deque(maxlen=HISTORY_LINES)
        self.aside: tuple[list[Line], int, int] | None = None
        super().__init__(columns, rows)

    def index(self) -> None:
        """Move down; a line that leaves the main screen at its top becomes history."""
        top, bottom = self.margins or (0, self.lines - 1)
        if self.aside is None and top == 0 and self.cursor.y == bottom:
            self.history.append(self._line(0))
        super().index()

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Erase; ``how`` 3 is the history."""
        if how == 3:
            self.history.clear()
        elif how in {0, 1, 2}:
            super().erase_in_display(how, *args, **kwargs)

    def reset(self) -> None:
        """Go back to the first state."""
        self.aside = None
        super().reset()

    def set_mode(self, *modes: int, **kwargs: Any) -> None:  # noqa: ANN401
        """Set modes; of the private ones also those of the alternate screen. The width stays."""
        if kwargs.get("private") and not ALTERNATE.isdisjoint(modes) and self.aside is None:
            self.aside = self.main_lines(), self.cursor.x, self.cursor.y
            self.buffer.clear()
        super().set_mode(*_without_width(modes, kwargs), **kwargs)

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:  # noqa: ANN401
        """Reset modes; leaving the alternate screen brings the main one back."""
        if kwargs.get("private") and not ALTERNATE.isdisjoint(modes) and self.aside is not None:
            lines, self.cursor.x, self.cursor.y = self.aside
            self.aside = None
            self.buffer.clear()
            for y, line in enumerate(lines):
                self.buffer[y].update(line)
        super().reset_mode(*_without_width(modes, kwargs), **kwargs)

    def main_lines(self) -> list[Line]:
        """Return the lines of the screen that is shown."""
        return [self._line(y) for y in range(self.lines)]

    def _line(self, y: int) -> Line:
        # Inserting makes pyte keep what it moves past the right margin.
        return {x: char for x, char in self.buffer[y].items() if x < self.columns}


class Reader:
    """Feeds output to a screen.

    Args:
        columns: width in cells.
        rows: height in cells.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.screen = Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        self._stream.use_utf8 = False  # else it ignores the line drawing set
        self._decode: Callable[[bytes], str] = codecs.getincrementaldecoder("utf-8")("replace").decode

    def feed(self, data: bytes) -> None:
        """Take in output that `understood` has passed; a sequence may be cut between two calls."""
        # pyte takes C1 controls for the beginning of sequences, which UTF-8 terminals do not.
        self._stream.feed(_EIGHT_BIT.sub("", self._decode(data)))


def understood(data: bytes) -> bytes:
    """Return output without the sequences that pyte misunderstands; none may be cut at the beginning."""
    return _SEQUENCE.sub(_keep, data)


def _keep(found: re.Match[bytes]) -> bytes:
    return found[0] if _PLAIN.fullmatch(found[0]) else b""


def _without_width(modes: tuple[int, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    """Leave DECCOLM out: terminals ignore it unless told otherwise, and pyte then has 132 columns."""
    return tuple(mode for mode in modes if mode != 3) if kwargs.get("private") else modes
