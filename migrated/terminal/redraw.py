"""Draw a terminal anew for a client that comes to it, or comes back too late: history, screen, cursor, modes.

The lines go out as text, history first, so that they scroll into the history of the client's own terminal;
the cursor is placed relative to the last of them. So it does not matter that the client's window has
another size.

Source: ECMA-48 section 8.3 (SGR); xterm's control sequences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final
from unicodedata import east_asian_width

from pyte.screens import Char

from migrated.terminal.modes import Modes
from migrated.terminal.output import OutputLog
from migrated.terminal.screen import Line, Reader, Screen, understood

READ_BYTES_MAX: Final = 512 * 1024
"""How much of the log is read: two to three seconds' work."""

_SLICE: Final = 4096
_COLOURS: Final = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
_ATTRIBUTES: Final = (
    ("bold", 1), ("italics", 3), ("underscore", 4), ("blink", 5), ("reverse", 7), ("strikethrough", 9),
)  # fmt: skip
_WIDE: Final = frozenset("WF")
_PLAIN: Final = b"\x1b[m"
_FIRST_STATE: Final = b"\x1b[?1049l\x1b[r\x1b[m\x1b(B\x0f\x1b[?6l\x1b[?25h\x1b[?7h"


async def redraw(log: OutputLog, rows: int, columns: int, client_rows: int) -> bytes:
    """Return what brings a client's terminal to the state that the log leaves, whatever it shows now.

    What it shows now scrolls off. The log is read in slices, between which the event loop runs: other
    terminals do not wait.

    Args:
        log: the output; what is appended while this runs does not count.
        rows: height of the window that the output was written for, in cells.
        columns: its width.
        client_rows: height of the client's window.
    """
    modes, data = log.tail(READ_BYTES_MAX)
    reader = Reader(columns, rows)
    reader.feed(modes.sequence())
    text = understood(data)
    for begin in range(0, len(text), _SLICE):
        reader.feed(text[begin : begin + _SLICE])
        await asyncio.sleep(0)
    modes.feed(data)
    return _FIRST_STATE + _scroll_off(client_rows) + _paint(reader.screen, modes, client_rows)


def _scroll_off(rows: int) -> bytes:
    return b"\x1b[%d;1H" % rows + b"\n" * rows + b"\x1b[H"


def _paint(screen: Screen, modes: Modes, client_rows: int) -> bytes:
    shown = screen.main_lines(), screen.cursor.x, screen.cursor.y
    main, x, y = screen.aside or shown
    past = [*screen.history]
    # Blank lines below the last one push the history out of the window, whose lines keep their places so.
    fill = len(past) + min(screen.lines, client_rows) if past else 0
    parts = _lines([*past, *main], x, y + len(past), fill)
    if screen.aside is not None:
        parts += b"\x1b[?1049h\x1b[H\x1b[2J" + _lines(*shown)
    if screen.margins is not None:
        top, bottom = screen.margins
        # Setting margins moves the cursor home.
        parts += b"\x1b[%d;%dr\x1b[%d;%dH" % (top + 1, bottom + 1, shown[2] + 1, shown[1] + 1)
    return parts + _rendition(screen.cursor.attrs) + modes.sequence(screens=False)


def _lines(lines: Sequence[Line], x: int, y: int, fill: int = 0) -> bytes:
    """Write lines up to the last that is not blank or has the cursor, and place the cursor."""
    last = max([y, fill - 1, *(number for number, line in enumerate(lines) if _width(line))])
    parts = [b"\r\n".join(_text(line) for line in lines[: last + 1])]
    if last > y:
        parts.append(b"\x1b[%dA" % (last - y))
    parts.append(b"\r" + (b"\x1b[%dC" % x if x else b""))
    return b"".join(parts)


def _width(line: Line) -> int:
    """Return up to which column a line shows anything."""
    return max(
        (x + 1 for x, char in line.items() if char.data.strip() or char.bg != "default" or char.reverse),
        default=0,
    )


def _text(line: Line) -> bytes:
    parts: list[bytes] = []
    rendition = _PLAIN
    for char in _whole([line.get(x, Char(" ")) for x in range(_width(line) + 1)]):
        if (wanted := _rendition(char)) != rendition:
            parts.append(wanted)
            rendition = wanted
        parts.append(char.data.encode())
    if rendition != _PLAIN:
        parts.append(_PLAIN)
    return b"".join(parts)


def _whole(cells: Sequence[Char]) -> Iterator[Char]:
    """Return all cells but the last, with blanks for halves of wide characters whose other half is gone."""
    wide = False
    for char, after in pairwise(cells):
        stub_alone = not char.data and not wide
        wide = bool(char.data) and east_asian_width(char.data[0]) in _WIDE
        yield char._replace(data=" ") if stub_alone or (wide and after.data) else char


def _rendition(char: Char) -> bytes:
    numbers = ["", *(str(number) for name, number in _ATTRIBUTES if getattr(char, name))]
    numbers += [*_colour(char.fg, 30), *_colour(char.bg, 40)]
    return b"\x1b[%sm" % ";".join(numbers).encode() if len(numbers) > 1 else _PLAIN


def _colour(name: str, base: int) -> Iterator[str]:
    """Return the numbers of a colour; ``base`` is 30 for the foreground, 40 for the background."""
    if name == "default":
        return
    bright = name.startswith("bright")
    # pyte calls yellow brown, and one bright colour by a misspelt name.
    plain = name.removeprefix("bright").replace("yellow", "brown").replace("bfightmagenta", "magenta")
    if plain in _COLOURS:
        yield str(base + _COLOURS.index(plain) + (60 if bright or name == "bfightmagenta" else 0))
    else:
        yield f"{base + 8};2;{int(name[:2], 16)};{int(name[2:4], 16)};{int(name[4:6], 16)}"
