"""Garbage collection, while a policy is read."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let Python look for no garbage in cycles meanwhile, in any thread.

    What is made of a policy's text stays alive until the end of it, and is looked through again and
    again: of 10,000 lines that takes as long as to read them. The text's size, which is
    limited, limits what is not collected.
    """
    if not gc.isenabled():
        yield  # somebody else has paused it, and goes on with it
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
