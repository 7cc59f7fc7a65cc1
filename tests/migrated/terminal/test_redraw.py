"""What is drawn anew must look like what was there: both are fed to a terminal emulator and compared."""

from __future__ import annotations

import asyncio

import pyte
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migrated.terminal.output import OutputLog
from migrated.terminal.redraw import redraw
from migrated.terminal.screen import Reader, Screen, understood

ROWS, COLUMNS = 6, 20
PIECES = st.sampled_from((
    b"word ", b"line\r\n", b"\n", b"\r", b"\t", b"\x08", "äö€".encode(), "漢".encode(), "é".encode(),
    b"\x1b[1;31m", b"\x1b[m", b"\x1b[44m", b"\x1b[38;5;200m", b"\x1b[48;2;1;2;3m", b"\x1b[7m",
    b"\x1b[95;105m", b"\x1b[H", b"\x1b[3;5H", b"\x1b[2J", b"\x1b[K", b"\x1b[2A", b"\x1b[2L", b"\x1b[M",
    b"\x1b[3P", b"\x1b[2@", b"\x1b[2;4r", b"\x1b[r", b"\x1bM", b"\x1bD", b"\x1b7", b"\x1b8",
    b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[>4;2m", b"\x1b[?4m", b"\x1bP+q544e\x1b\\",
    b"\x1b]0;title\x07", b"\x1b[c", b"\x1b[6n", b"\x1b[4 q", b"\x1b(0lqk\x1b(B", b"\x1b[38:2::1:2:3m",
    b"\x1b[?2004h", b"\x1b[?25l",
))  # fmt: skip


def log_of(*pieces: bytes) -> OutputLog:
    log = OutputLog()
    for piece in pieces:
        log.append(piece)
    return log


def emulate(data: bytes, rows: int = ROWS, columns: int = COLUMNS) -> Screen:
    reader = Reader(columns, rows)
    reader.feed(understood(data))
    return reader.screen


def text_of(line: dict[int, pyte.screens.Char]) -> str:
    return "".join(line[x].data for x in sorted(line)).rstrip()


def history_of(screen: Screen) -> list[str]:
    return [text_of(line) for line in screen.history]


def drawn(log: OutputLog, rows: int = ROWS, columns: int = COLUMNS, before: bytes = b"") -> Screen:
    picture = asyncio.run(redraw(log, ROWS, COLUMNS, rows))
    return emulate(before + picture, rows, columns)


def rows_of(screen: Screen) -> list[str]:
    """Return the rows as a person sees them: half a wide character shows nothing."""
    return ["".join(_cells(line, screen.columns)) for line in screen.main_lines()]


def _cells(line: dict[int, pyte.screens.Char], columns: int) -> list[str]:
    cells = [line[x].data if x in line else " " for x in range(columns)]
    for x, cell in enumerate(cells):
        if cell == "漢" and (x + 1 == columns or cells[x + 1] != ""):
            cells[x] = " "
        if cell == "" and (x == 0 or cells[x - 1] != "漢"):
            cells[x] = " "
    return cells


def place_of(screen: Screen) -> tuple[int, int]:
    """Return the cursor's place; a line that is full leaves it in a column that does not exist."""
    return min(screen.cursor.x, screen.columns - 1), screen.cursor.y


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40))
def test_the_screen_is_the_same(pieces: list[bytes]) -> None:
    original = emulate(b"".join(pieces))
    again = drawn(log_of(*pieces), before=b"something\r\nelse \x1b[31m\x1b[?1049h")
    assert rows_of(again) == rows_of(original)
    assert place_of(again) == place_of(original)
    assert again.margins == original.margins
    assert (again.aside is None) == (original.aside is None)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=20))
@example(["漢".encode(), b"\x08", b"word "])
def test_the_colours_are_the_same(pieces: list[bytes]) -> None:
    original, again = emulate(b"".join(pieces)), drawn(log_of(*pieces))
    for before, after in zip(original.main_lines(), again.main_lines(), strict=True):
        cells = _cells(before, COLUMNS)
        shown = {x: char for x, char in before.items() if cells[x].strip()}
        assert {x: after[x] for x in shown} == shown


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=30))
def test_nothing_that_a_program_writes_is_an_error(pieces: list[bytes]) -> None:
    asyncio.run(redraw(log_of(*pieces), ROWS, COLUMNS, ROWS))


def test_history_scrolls_off_and_nothing_of_it_is_lost_or_doubled() -> None:
    numbers = [f"number {number}" for number in range(100)]
    log = log_of(*(f"{number}\r\n".encode() for number in numbers), b"$ ")
    for rows in (ROWS, 3, 24):
        screen = drawn(log, rows=rows, before=b"what was there")
        lines = [*history_of(screen), *(line.rstrip() for line in screen.display)]
        assert [line for line in lines if line.startswith("number")] == numbers
        assert "what was there" in lines
        assert screen.display[screen.cursor.y].startswith("$ ")


def test_history_is_the_main_screens_alone() -> None:
    log = log_of(
        b"main\r\n", b"\x1b[?1049h", *(b"other %d\r\n" % number for number in range(20)), b"\x1b[?1049l"
    )
    screen = drawn(log)
    assert not any("other" in line for line in [*history_of(screen), *screen.display])
    assert "main" in "".join(screen.display)


def test_modes_are_set_again() -> None:
    log = log_of(b"\x1b[?2004h\x1b[?25l\x1b[?1h")
    picture = asyncio.run(redraw(log, ROWS, COLUMNS, ROWS))
    assert picture.endswith(b"\x1b[?1h\x1b[?25l\x1b[?2004h")


def test_a_log_that_begins_anywhere_is_drawn_without_garbage() -> None:
    log = OutputLog(64 * 1024)
    line = "\x1b[1;38;5;120mgrün\x1b[m\r\n".encode()
    for _ in range(10_000):
        log.append(line)
    screen = drawn(log)
    assert {line.rstrip() for line in screen.display} == {"grün", ""}
    assert set(history_of(screen)) <= {"grün", ""}


@pytest.mark.parametrize("sequence", [b"\x1b[>4;2m", b"\x1b[?4m", b"\x1bPq#0\x1b\\", b"\x1b[38:2::1:2:3m"])
def test_sequences_that_are_not_understood_change_nothing(sequence: bytes) -> None:
    assert emulate(b"a" + sequence + b"b").buffer == emulate(b"ab").buffer
