"""The output of a terminal, as much as is kept of it: a bounded log in which every client has its place."""

from __future__ import annotations

from collections import deque
from typing import Final

from migrated.terminal.modes import Modes

LOG_BYTES: Final = 4 << 20
"""How much output is kept; a client that lags further behind gets the screen drawn anew."""

_BLOCK: Final = 64 * 1024
_LINE_MAX: Final = 16 * 1024


class OutputLog:
    """The last bytes that were written to a terminal, by their offset in all that ever was.

    Blocks have one length but for the last, so that a program that writes byte by byte costs no more memory
    than one that does not, and a place is found without a search.

    Attributes:
        start: offset of the first byte that is still there.
        end: offset after the last one.
        before: the modes in force at ``start``.
    """

    def __init__(self, limit: int = LOG_BYTES) -> None:
        self.start = 0
        self.end = 0
        self.before = Modes()
        self._blocks_max = max(1, limit // _BLOCK)
        self._blocks: deque[bytearray] = deque()

    def append(self, data: bytes) -> None:
        """Add output; the oldest goes where there is too much."""
        rest = memoryview(data)
        while rest:
            if not self._blocks or len(self._blocks[-1]) == _BLOCK:
                self._make_room()
                self._blocks.append(bytearray())
            part = rest[: _BLOCK - len(self._blocks[-1])]
            self._blocks[-1] += part
            rest = rest[len(part) :]
        self.end += len(data)

    def read(self, offset: int, limit: int) -> bytes:
        """Return up to ``limit`` bytes from ``offset``; fewer, but at least one, where a block ends.

        Raises:
            LookupError: the byte at ``offset`` has gone, or has not come.
        """
        if not self.start <= offset < self.end:
            raise LookupError(offset)
        index, inside = divmod(offset - self.start, _BLOCK)
        return bytes(self._blocks[index][inside : inside + limit])

    def tail(self, limit: int) -> tuple[Modes, bytes]:
        """Return the last bytes, at most ``limit``, from a place where a line begins, and the modes there."""
        first = max(self.start, self.end - limit)
        kept = b"".join(self._blocks)
        modes = self.before.copy()
        if first == 0:
            return modes, kept
        begin = _safe_place(kept, first - self.start)
        modes.feed(kept[:begin])
        return modes, kept[begin:]

    def _make_room(self) -> None:
        if len(self._blocks) == self._blocks_max:
            self.before.feed(bytes(self._blocks.popleft()))
            self.start += _BLOCK


def _safe_place(data: bytes, first: int) -> int:
    """Return where to begin so that no sequence and no character is cut: after a line's end if possible."""
    newline = data.find(b"\n", first, first + _LINE_MAX)
    if newline >= 0:
        return newline + 1
    escape = data.find(b"\x1b", first)
    return escape if escape >= 0 else len(data)
