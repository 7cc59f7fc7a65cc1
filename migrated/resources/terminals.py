"""Pseudo-terminals, either end: kept, and given their window size back."""

from __future__ import annotations

import fcntl
import os
import stat
import termios
from typing import Final

from migrated.resources.spec import Descriptor, Keep, Owner, ResourceLostError, Resumed, Suspended

_WINDOW_SIZE: Final = 8  # struct winsize


class TerminalHandler:
    """Keep terminals: what is typed and shown on them has no other place."""

    kind = "terminal"

    def suspend(self, descriptor: Descriptor) -> Suspended | None:
        """Read the window size.

        Returns:
            ``None`` for anything but a terminal.

        Raises:
            OSError: the terminal was hung up.
        """
        if not stat.S_ISCHR(descriptor.status.st_mode) or not os.isatty(descriptor.number):
            return None
        return Suspended(state=_window_size(descriptor.number), keep=Keep.ITSELF)

    def give_up(self, descriptor: int) -> None:
        """Do nothing: closing is enough."""

    def resume(self, state: bytes, keep: Keep, kept: int | None, owner: Owner) -> Resumed:
        """Return the terminal, with the window size that it had; its programs are told of a change only.

        Raises:
            ResourceLostError: the daemon was ended in between, and with it the terminal.
        """
        if kept is None:
            raise ResourceLostError("the terminal was lost when the daemon ended")
        if _window_size(kept) != state:
            fcntl.ioctl(kept, termios.TIOCSWINSZ, state)
        return Resumed(descriptor=kept)

    def forget(self, state: bytes) -> None:
        """Do nothing: nothing was prepared."""


def _window_size(descriptor: int) -> bytes:
    return fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(_WINDOW_SIZE))
