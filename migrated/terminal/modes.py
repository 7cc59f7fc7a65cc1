"""The switches of a terminal: which a program has thrown, and how to throw them again or back.

Source: ECMA-48 section 7; xterm's control sequences, DECSET and DECRST.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

ALTERNATE: Final = frozenset({47, 1047, 1049})
"""Modes that show the alternate screen."""

_ON_AT_FIRST: Final = frozenset({7, 25})
_KNOWN: Final = (
    frozenset({1, 5, 6, 7, 12, 25, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 2004}) | ALTERNATE
)
_KEYPAD: Final = 66
_LONGEST: Final = 64
_SWITCH: Final = re.compile(rb"\x1b(?:\[\?([0-9;]{1,40})([hl])|([=>])|(c)|(\[!p))")
_CUT_SHORT: Final = re.compile(rb"\x1b(?:\[(?:!|\?[0-9;]{0,40})?)?\Z")


class Modes:
    """The modes after all that was fed; those not listed are as they are at first."""

    def __init__(self) -> None:
        self._changed: set[int] = set()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take in output of a program; a sequence may be cut anywhere between two calls."""
        data = self._rest + data
        for found in _SWITCH.finditer(data):
            self._apply(found)
        cut = _CUT_SHORT.search(data, max(0, len(data) - _LONGEST))
        self._rest = data[cut.start() :] if cut else b""

    def copy(self) -> Modes:
        """Return another tracker in the same state."""
        other = Modes()
        other._changed, other._rest = set(self._changed), self._rest
        return other

    def is_set(self, mode: int) -> bool:
        """Return whether a DEC private mode is set."""
        return (mode in self._changed) != (mode in _ON_AT_FIRST)

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return not ALTERNATE.isdisjoint(self._changed)

    def sequence(self, *, screens: bool = True) -> bytes:
        """Return what sets these modes; ``screens``: also that of the alternate screen."""
        return b"".join(self._switches(on=True, screens=screens))

    def undo(self) -> bytes:
        """Return what brings a terminal back into its first state."""
        return b"".join(self._switches(on=False, screens=True))

    def _switches(self, *, on: bool, screens: bool) -> Iterator[bytes]:
        for mode in sorted(self._changed):
            if screens or mode not in ALTERNATE:
                yield b"\x1b[?%d%c" % (mode, b"h" if (mode in _ON_AT_FIRST) != on else b"l")

    def _apply(self, found: re.Match[bytes]) -> None:
        numbers, direction, keypad, *_ = found.groups()
        if numbers is not None:
            for number in numbers.split(b";"):
                self._throw(int(number or b"0"), on=direction == b"h")
        elif keypad is not None:
            self._throw(_KEYPAD, on=keypad == b"=")
        else:
            self._changed.clear()

    def _throw(self, mode: int, *, on: bool) -> None:
        if mode not in _KNOWN:
            return
        if mode in ALTERNATE:
            self._changed -= ALTERNATE
        if on != (mode in _ON_AT_FIRST):
            self._changed.add(mode)
        else:
            self._changed.discard(mode)
