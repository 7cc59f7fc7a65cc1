"""Text from elsewhere, as it can be logged, stored and sent: short, of one line, without halves of pairs."""

from __future__ import annotations

import asyncio
import importlib
import os
from pathlib import Path
from traceback import walk_tb
from typing import Final

import pluggy

REASON_MAX: Final = 500
"""Characters of what went wrong; of a longer text the beginning is told."""

_CALLERS: Final = (__file__, asyncio.__file__, importlib.__file__, pluggy.__file__)
_ON_THE_WAY: Final = ("<", *(f"{Path(module).parent}{os.sep}" for module in _CALLERS))
"""How the names of the files begin through which a plugin is called: `<frozen importlib._bootstrap>`, too."""


def printable(text: str) -> str:
    """Return a text that can be encoded: halves of surrogate pairs, as in names of files, are written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_encodable(text: str) -> bool:
    """Return whether a text can be written down: it has no halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def message_of(error: BaseException) -> str:
    """Return what an exception says, in one line that is not too long.

    Whoever wrote its class may have made a mistake there, too: then it is said that it can't be told.
    """
    try:
        text = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 - the isolation of a plugin
        return "its message can't be told, because `__str__` fails"
    text = printable(text[: REASON_MAX + 1])
    return text if len(text) <= REASON_MAX else f"{text[: REASON_MAX - 4].rstrip()} ..."


def failure_of(error: BaseException) -> str:
    """Return what an author needs of an error: its kind, its message, and where in the plugin it was.

    That place is the innermost one in the file that our own code called, not in a library that it calls.
    """
    told = f"{type(error).__name__}: {message_of(error)}"
    place = _place_of(error)
    return f"{told} ({place})" if place else told


def _place_of(error: BaseException) -> str:
    frames = [
        (frame.f_code.co_filename, number)
        for frame, number in walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_ON_THE_WAY)
    ]
    if not frames:
        return ""
    file = frames[0][0]
    number = next(number for name, number in reversed(frames) if name == file)
    return f"{printable(Path(file).name)}, line {number}"
