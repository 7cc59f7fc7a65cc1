"""The escape character, as ssh has it: `~` at the beginning of a line, and what it means with the next key.

Source: ssh(1), "ESCAPE CHARACTERS".
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

_ESCAPE: Final = ord("~")
_LINE_ENDS: Final = frozenset(b"\r\n")


class Wish(Enum):
    """What a user can ask the client itself for."""

    LEAVE = "."
    HELP = "?"
    STOP = "\x1a"


HELP: Final = (
    "supported escape sequences:\r\n"
    "  ~.   leave; the terminal stays\r\n"
    "  ~^Z  suspend this client\r\n"
    "  ~?   this message\r\n"
    "  ~~   send the escape character\r\n"
    "(escapes are only recognized at the beginning of a line)\r\n"
)


class EscapeKeys:
    """Finds escapes in what is typed, however it comes in pieces."""

    def __init__(self) -> None:
        self._line_begins = True
        self._escaped = False

    def feed(self, typed: bytes) -> Iterator[bytes | Wish]:
        """Return what is to be sent and what is wished, in order."""
        pending = bytearray()
        for key in typed:
            if self._escaped:
                wish = self._wish(key, pending)
                if wish is not None:
                    if pending:
                        yield bytes(pending)
                    pending.clear()
                    yield wish
            elif key == _ESCAPE and self._line_begins:
                self._escaped = True
            else:
                pending.append(key)
                self._line_begins = key in _LINE_ENDS
        if pending:
            yield bytes(pending)

    def _wish(self, key: int, pending: bytearray) -> Wish | None:
        self._escaped = False
        for wish in Wish:
            if key == ord(wish.value):
                self._line_begins = True
                return wish
        pending += bytes([_ESCAPE] if key == _ESCAPE else [_ESCAPE, key])
        self._line_begins = key in _LINE_ENDS
        return None
