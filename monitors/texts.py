"""Text from elsewhere, as it can be logged, stored and sent: short, of one line, without halves of pairs."""

from __future__ import annotations

from typing import Final

REASON_MAX: Final = 500
"""Characters of what went wrong; of a longer text the beginning is told."""


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
