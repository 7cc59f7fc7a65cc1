"""See what code reads, opens or waits for while it shall do nothing of the kind."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_DEEDS: Final = {
    "open": "opened a file",
    "os.listdir": "listed a folder",
    "os.scandir": "listed a folder",
    "os.posix_spawn": "started a program",
    "os.system": "started a program",
    "subprocess.Popen": "started a program",
    "socket.__new__": "made a socket",
    "socket.connect": "connected to something",
    "socket.getaddrinfo": "looked up a host",
    "socket.gethostbyname": "looked up a host",
    "sqlite3.connect": "opened a database",
    "time.sleep": "slept",
}
"""Audit events that are input, output or waiting, in words. What only looks (``stat``) raises none."""

_watched = threading.local()


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect what this thread reads, opens or waits for inside, each deed in words, imports left out.

    Source: the table of audit events of the Python library reference.
    """
    _install()
    deeds: list[str] = []
    _watched.deeds = deeds
    try:
        yield deeds
    finally:
        _watched.deeds = None


def _install() -> None:
    """Begin to hear audit events, once: who hears them can't be sent away."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_heard)


_installed: list[bool] = []


def _heard(event: str, arguments: tuple[object, ...]) -> None:
    deed = _DEEDS.get(event)
    deeds: list[str] | None = getattr(_watched, "deeds", None) if deed else None
    if deeds is None or _importing(sys._getframe(1)):  # noqa: SLF001 - the way to look at one's caller
        return
    what = f" `{arguments[0]}`" if arguments and isinstance(arguments[0], str) else ""
    deeds.append(f"{deed}{what}")


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
