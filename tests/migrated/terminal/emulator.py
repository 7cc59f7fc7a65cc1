"""A terminal emulator for tests: what a person sees of bytes that come in pieces of any length."""

from __future__ import annotations

import re

from migrated.terminal.screen import Reader, understood

_CUT_SHORT = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?\Z")
_TITLE = re.compile(rb"\x1b\]2;([^\x07\x1b]*)\x07")


class Emulator:
    """A screen of so many rows and columns, its history, and the last title of its window."""

    def __init__(self, rows: int, columns: int) -> None:
        self._reader = Reader(columns, rows)
        self._rest = b""
        self.title = ""

    def feed(self, data: bytes) -> None:
        """Take in output; a sequence that is cut waits for its end."""
        data = self._rest + data
        cut = _CUT_SHORT.search(data)
        self._rest = data[cut.start() :] if cut else b""
        for title in _TITLE.findall(data):
            self.title = title.decode(errors="replace")
        self._reader.feed(understood(data[: len(data) - len(self._rest)]))

    @property
    def display(self) -> list[str]:
        """The screen's rows without blanks at their ends."""
        return [line.rstrip() for line in self._reader.screen.display]

    @property
    def lines(self) -> list[str]:
        """The history and the screen."""
        history = self._reader.screen.history
        return [*("".join(line[x].data for x in sorted(line)).rstrip() for line in history), *self.display]

    @property
    def modes(self) -> set[int]:
        """The private modes that are set and are not at first."""
        return {mode >> 5 for mode in self._reader.screen.mode} & {1, 1000, 1049, 2004}
