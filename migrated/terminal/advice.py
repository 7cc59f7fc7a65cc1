"""Commands that messages advise, as they would have to be typed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def again(host: str, options: Iterable[str], *words: str) -> str:
    """Return the `migrate ssh` that gets to another host as the one did which runs now.

    Args:
        host: as the user typed it.
        options: what the user typed before it to get there, ours and those of ssh.
        words: what it is to do there.
    """
    return shlex.join(["migrate", "ssh", *options, *words, host])
